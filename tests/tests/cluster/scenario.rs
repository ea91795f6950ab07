//! What the cluster goes through.

use std::time::Duration;

use fanfare_test_servers::{Broker, Server as Process};
use fanfare_tests::mechamap::urgent_comment;
use fanfare_tests::{Follower, Transport, until};
use tokio::time::{Instant, sleep, timeout};

use super::audience::{Audience, LAST, Leaves, Member, RESIDENT, THREAD};
use super::nodes::{NODES, Nodes, PATIENCE};
use super::order;
use super::publishers::{Publishers, Record, publisher_of};

/// How long the load goes on where nothing happens.
const CALM: Duration = Duration::from_secs(5);
/// How long the broker is away.
const OUTAGE: Duration = Duration::from_secs(10);
/// What is published in a second by all.
const RATE: f64 = 500.0;
/// What a node may grow by while all this goes on.
const GROWTH: u64 = MIB
    * (
        // Its newest events, twice what `history.bytes` counts, which are payloads and structs.
        2 * 64
        // The engine of its folder, see `Disk`.
        + 100
        // What waits in the lane to the broker.
        + 8
        // What an owner keeps for repairs, where nodes make the order.
        + 16
        // A full outbox of each transport: those who are behind at once share its frames.
        + 16 * Transport::ALL.len() as u64
        // What waits in the channel, as events and as frames.
        + 2
    );
const MIB: u64 = 1 << 20;
/// How many of those who stay have a connection that does: all but those who poll.
const LASTING: usize = NODES * (Transport::ALL.len() - 1);

/// What a position of one node is on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Positions {
    /// As good.
    Shared,
    /// Nothing, and honestly so; also on the same node in a later life.
    OfEachNode,
}

/// Three nodes on a broker, with clients and load.
#[derive(Debug)]
pub(crate) struct Scenario<B: Broker> {
    broker: Process<B>,
    positions: Positions,
    nodes: Nodes,
    audience: Audience,
    publishers: Publishers,
    begun: Instant,
    /// The resident bytes of each node before the load.
    at_rest: Vec<u64>,
}

impl<B: Broker> Scenario<B> {
    /// Starts nodes, clients and load.
    pub(crate) async fn begin(broker: Process<B>, url: &str, positions: Positions) -> Self {
        let begun = Instant::now();
        let nodes = Nodes::start(url).await;
        let health = nodes.health(0).await;
        let shared = positions == Positions::Shared;
        assert_eq!(health["broker"]["shared_positions"], shared, "{health}");
        let mut audience = Audience::default();
        if shared {
            let addresses = nodes.addresses();
            audience.residents(addresses, Leaves::Lost).await;
            audience.movers(addresses).await;
        } else {
            audience.residents(nodes.addresses(), Leaves::Never).await;
        }
        until("all are connected", PATIENCE, async || {
            let connected = nodes.lasting_connections(RESIDENT).await.len();
            (connected == LASTING).then_some(())
        })
        .await;
        Self {
            at_rest: nodes
                .memory()
                .iter()
                .flatten()
                .map(|it| it.resident)
                .collect(),
            publishers: Publishers::begin(nodes.addresses()),
            broker,
            positions,
            nodes,
            audience,
            begun,
        }
    }

    /// Plays it to the end.
    pub(crate) async fn play(mut self) {
        self.tell("the load begins");
        sleep(CALM).await;
        if self.positions == Positions::OfEachNode {
            self.foreign_cursors_are_not_covered().await;
        }
        self.the_broker_is_killed().await;
        for number in 0..NODES {
            self.a_node_is_killed(number).await;
        }
        self.end().await;
    }

    /// Who brings a position of another node is told so, over every transport, and goes on from there.
    async fn foreign_cursors_are_not_covered(&self) {
        let [here, there, _] = self.nodes.addresses();
        for transport in Transport::ALL {
            let mut follower = Follower::begin(here, RESIDENT + 2, THREAD).await;
            let any = |seen: &[u64]| !seen.is_empty();
            let followed = follower.follow(transport, there, any);
            timeout(PATIENCE, followed).await.unwrap().unwrap();
            assert_eq!(follower.gaps, [0], "{transport:?}");
        }
    }

    /// Accepted events wait for it on disk, and those who are connected notice nothing.
    async fn the_broker_is_killed(&mut self) {
        let before = self.nodes.lasting_connections(RESIDENT).await;
        assert_eq!(before.len(), LASTING);
        self.broker.kill().await;
        self.tell("the broker is gone");
        sleep(OUTAGE).await;
        for number in 0..NODES {
            let health = self.nodes.health(number).await;
            assert_eq!(health["status"], "degraded", "{health}");
            assert!(self.nodes.spilled(number).await > 0.0);
        }
        let during = self.nodes.lasting_connections(RESIDENT).await;
        assert_eq!(before, during, "the same connections as before the outage");
        self.tell("the broker comes back");
        self.broker.start_again().await;
        self.nodes.know_of(NODES).await;
        self.nodes.settle().await;
        self.tell("what was kept is sent");
        sleep(CALM).await;
        let after = self.nodes.lasting_connections(RESIDENT).await;
        assert_eq!(before, after, "the same connections as before the outage");
    }

    /// Its clients and its publisher go elsewhere where that is of use, and the others go on.
    async fn a_node_is_killed(&mut self, number: usize) {
        self.tell(&format!("node {number} is killed"));
        self.memory_is_bounded();
        self.nodes.kill(number).await;
        self.tell(&format!("node {number} is missed"));
        self.nodes.start_again(number).await;
        self.nodes.settle().await;
        self.publishers.go_home();
        sleep(Duration::from_secs(1)).await;
    }

    /// All that was accepted has been seen by everybody, once, in one order.
    async fn end(self) {
        self.tell("the load ends");
        self.memory_is_bounded();
        let (records, lasted) = self.publishers.stop().await;
        self.nodes.settle().await;
        self.nodes.publish(&urgent_comment(THREAD, LAST)).await;
        let members = self.audience.have_seen_all().await;
        for member in &members {
            // A node that was killed has forgotten what its own positions mean.
            let expected = usize::from(member.leaves == Leaves::Never);
            let Follower { gaps, seen, .. } = &member.follower;
            let around = |at: &usize| &seen[at.saturating_sub(1)..(at + 1).min(seen.len())];
            let around = gaps.iter().map(around).collect::<Vec<_>>();
            let Member {
                transport,
                home,
                leaves,
                ..
            } = member;
            let who = format!("{transport:?} of node {home}, leaves {leaves:?}");
            assert_eq!(gaps.len(), expected, "{who}: {gaps:?}, {around:?}");
        }
        let order = order::common(&members);
        for (number, record) in records.iter().enumerate() {
            judge(number, record, &order);
        }
        let accepted = records.iter().map(|record| record.accepted.len());
        let accepted = accepted.sum::<usize>();
        let rate = accepted as f64 / lasted.as_secs_f64();
        eprintln!(
            "{}: {accepted} accepted in {lasted:.1?}, {rate:.0} a second; {} seen by each of {}",
            B::NAME,
            order.len(),
            members.len()
        );
        // What is due when the load ends is not published any more.
        assert!(rate > 0.8 * RATE, "{rate} a second");
    }

    fn memory_is_bounded(&self) {
        for (number, memory) in self.nodes.memory().into_iter().enumerate() {
            let memory = memory.expect("all nodes run");
            let bound = self.at_rest[number] + GROWTH;
            assert!(memory.peak <= bound, "node {number}: {memory:?} > {bound}");
        }
    }

    /// Says where the scenario is, and what the nodes have of memory.
    fn tell(&self, what: &str) {
        let memory = self.nodes.memory();
        let memory = memory.iter().map(|memory| match memory {
            Some(it) => format!("{}/{}", it.resident / MIB, it.peak / MIB),
            None => "-".to_owned(),
        });
        eprintln!(
            "{} {:?} {:5.1?}: {what}; MiB resident/peak: {}",
            B::NAME,
            self.positions,
            self.begun.elapsed(),
            memory.collect::<Vec<_>>().join(" ")
        );
    }
}

/// What one publisher sent: nothing that was accepted is lost, and all is in the order of publishing.
fn judge(number: usize, record: &Record, order: &[u64]) {
    let seen = order.iter().copied();
    let own = seen.filter(|id| *id != LAST && publisher_of(*id) == number);
    assert!(own.is_sorted(), "publisher {number}: in its order");
    let lost = order::missing(&record.accepted, order);
    assert_eq!(lost, 0, "publisher {number}: accepted and lost");
    // Its node was killed once, and of all requests only one was under way then.
    let broken = &record.unknown;
    assert!(
        broken.len() <= 1 && broken.iter().all(|(node, _)| *node == number),
        "publisher {number}: {broken:?}"
    );
    assert_eq!(record.refused, [0; 0], "publisher {number}: refused");
}
