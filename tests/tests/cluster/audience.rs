//! Those who follow the thread, on all nodes and over all transports.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use fanfare_tests::{Follower, Transport};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::nodes::NODES;

pub(crate) const THREAD: u64 = 456;
/// The id of the last comment of all.
pub(crate) const LAST: u64 = 9_000_000;
/// The user of those who stay where they are.
pub(crate) const RESIDENT: u64 = 7;
/// The user of those who move from node to node.
pub(crate) const MOVER: u64 = 8;
/// How many comments a mover takes on each node, and how much longer it stays. Where much waits for it,
/// each arrival makes the server send all of that: who takes a few of it and moves on never catches up.
const STAGE: (usize, Duration) = (97, Duration::from_millis(250));
const PAUSE: Duration = Duration::from_millis(50);
/// How long the last comment may take to reach the last client.
const PATIENCE: Duration = Duration::from_secs(90);

/// What makes a client leave its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Nothing: it comes back to the node that it lost.
    Never,
    /// That it has lost it.
    Lost,
    /// That, and that it has been there for a while.
    Often,
}

/// A client, and how it follows.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) transport: Transport,
    pub(crate) home: usize,
    pub(crate) leaves: Leaves,
    pub(crate) follower: Follower,
}

/// All of them, until each has seen the last comment.
#[derive(Debug, Default)]
pub(crate) struct Audience(JoinSet<Member>);

impl Audience {
    /// A client of each transport on each node.
    pub(crate) async fn residents(&mut self, nodes: [SocketAddr; NODES], leaves: Leaves) {
        for transport in Transport::ALL {
            for home in 0..NODES {
                self.admit(nodes, transport, home, RESIDENT, leaves).await;
            }
        }
    }

    /// A client of each transport that moves on every so often.
    pub(crate) async fn movers(&mut self, nodes: [SocketAddr; NODES]) {
        for (number, transport) in Transport::ALL.into_iter().enumerate() {
            let home = number % NODES;
            self.admit(nodes, transport, home, MOVER, Leaves::Often)
                .await;
        }
    }

    async fn admit(
        &mut self,
        nodes: [SocketAddr; NODES],
        transport: Transport,
        home: usize,
        user: u64,
        leaves: Leaves,
    ) {
        let mut follower = Follower::begin(nodes[home], user, THREAD).await;
        follower.sparse = true;
        let member = Member {
            transport,
            home,
            leaves,
            follower,
        };
        self.0.spawn(member.follow(nodes));
    }

    /// All of them, once they have seen the last comment.
    ///
    /// # Panics
    /// Where one of them does not.
    pub(crate) async fn have_seen_all(mut self) -> Vec<Member> {
        let mut members = Vec::new();
        let all = async {
            while let Some(member) = self.0.join_next().await {
                members.push(member.unwrap());
            }
        };
        let ended = timeout(PATIENCE, all).await;
        let arrived = members.iter().map(|member| (member.transport, member.home));
        let arrived = arrived.collect::<Vec<_>>();
        ended.unwrap_or_else(|_| panic!("only these have seen the end: {arrived:?}"));
        members
    }
}

impl Member {
    async fn follow(mut self, nodes: [SocketAddr; NODES]) -> Self {
        let all = |seen: &[u64]| seen.last() == Some(&LAST);
        let mut at = self.home;
        while !all(&self.follower.seen) {
            let stage = self.follower.seen.len() + STAGE.0;
            let arrived = OnceLock::new();
            let leaves = |seen: &[u64]| {
                let stays = || arrived.get_or_init(Instant::now).elapsed() < STAGE.1;
                self.leaves == Leaves::Often && seen.len() >= stage && !stays()
            };
            let enough = |seen: &[u64]| all(seen) || leaves(seen);
            let followed = self
                .follower
                .follow(self.transport, nodes[at], enough)
                .await;
            if self.leaves != Leaves::Never {
                at = (at + 1) % NODES;
            }
            if followed.is_err() {
                sleep(PAUSE).await;
            }
        }
        self
    }
}
