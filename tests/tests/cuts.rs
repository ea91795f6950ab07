//! Exactly once and in order, however often the connection is cut.

use std::collections::HashMap;
use std::time::Duration;

use fanfare_tests::client::Subscribed;
use fanfare_tests::mechamap::{comment, comment_id, idle_comment, urgent_comment};
use fanfare_tests::{Client, Position, Proxy, Push, Refused, Server, Token};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

const CHANNEL: &str = "thread.456";
const EVENTS: u64 = 2400;
/// More than 200 a second.
const BETWEEN_EVENTS: Duration = Duration::from_millis(4);
/// Windows so short that some cuts fall into one and some between two, and history for everything.
const CONFIG: &str = "
    linger = { medium = 0.1, low = 0.3 }
    limits = { connections_per_user = 1000 }
    history = { events = 10000 }
";
const SILENCE: Duration = Duration::from_secs(10);

/// How a client comes to its subscription.
#[derive(Clone, Copy, Debug)]
enum Way {
    Command,
    Query,
    Claim,
}

/// What a client of the cut line has seen, across all its connections.
struct Follower {
    way: Way,
    proxy: Proxy,
    random: StdRng,
    position: Option<Position>,
    /// The ids of the comments, as they came.
    seen: Vec<u64>,
    connections: u32,
    recoveries: u32,
}

impl Follower {
    /// Connects, recovers, and reads until the connection is cut or everything has arrived.
    async fn follow(&mut self) {
        // From the middle of the handshake to some hundred events later, each scale as often.
        let scale = 1 << self.random.random_range(4..18);
        self.proxy.cut_after(self.random.random_range(0..scale));
        let path = match self.way {
            Way::Query => format!("/ws?channel={CHANNEL}"),
            Way::Command | Way::Claim => "/ws".to_owned(),
        };
        let Ok(client) = Client::to(self.proxy.address())
            .path(&path)
            .try_open()
            .await
        else {
            return;
        };
        self.connections += 1;
        match self.subscribe(&client).await {
            Ok(subscribed) => self.take_reply(&subscribed),
            Err(refused) => {
                assert_eq!(
                    (refused.code, refused.closed),
                    (0, true),
                    "only the cut refuses: {refused:?}"
                );
                return;
            }
        }
        self.read(&client).await;
    }

    async fn subscribe(&self, client: &Client) -> Result<Subscribed, Refused> {
        let token = match self.way {
            Way::Claim => Token::of(7).channels(&[CHANNEL]),
            Way::Command | Way::Query => Token::of(7),
        };
        let mut connect = json!({ "token": token.sign() });
        if let (Way::Query | Way::Claim, Some(position)) = (self.way, &self.position) {
            let recover =
                json!({ "recover": true, "epoch": position.epoch, "offset": position.offset });
            connect["subs"] = json!({ CHANNEL: recover });
        }
        let mut connected = client.connect_with(connect).await?;
        match (self.way, &self.position) {
            (Way::Query | Way::Claim, _) => Ok(connected
                .subs
                .remove(CHANNEL)
                .expect("the server subscribes the client")),
            (Way::Command, Some(position)) => client.recover(CHANNEL, position).await,
            (Way::Command, None) => client.subscribe(CHANNEL).await,
        }
    }

    fn take_reply(&mut self, subscribed: &Subscribed) {
        if let Some(position) = &self.position {
            assert!(
                subscribed.was_recovering && subscribed.recovered,
                "{position:?}: {subscribed:?}"
            );
            assert_eq!(subscribed.epoch, position.epoch);
            self.recoveries += u32::from(!subscribed.publications.is_empty());
        }
        let start = self
            .position
            .as_ref()
            .map_or(subscribed.offset, |position| position.offset);
        self.position = Some(Position {
            epoch: subscribed.epoch.clone(),
            offset: start,
        });
        for publication in &subscribed.publications {
            self.take(publication.offset, &publication.json());
        }
        let position = self.position.as_ref().expect("set above");
        assert_eq!(*position, subscribed.position());
    }

    fn take(&mut self, offset: Option<u64>, envelope: &Value) {
        let position = self.position.as_mut().expect("events come after the reply");
        position.offset += 1;
        assert_eq!(offset, Some(position.offset), "every offset once, in order");
        self.seen.push(comment_id(envelope));
    }

    async fn read(&mut self, client: &Client) {
        let mut taken = 0;
        while !self.has_all() {
            let (pushes, ended) = client
                .wait("an event, or the cut", SILENCE, |record| {
                    let news = record.pushes.get(taken..).unwrap_or_default().to_vec();
                    (!news.is_empty() || record.end.is_some()).then(|| (news, record.end.is_some()))
                })
                .await;
            taken += pushes.len();
            for push in &pushes {
                assert_eq!(push.channel, CHANNEL);
                self.take(push.offset(), &push.json());
            }
            if ended && pushes.is_empty() {
                return;
            }
        }
    }

    fn has_all(&self) -> bool {
        self.seen.last() == Some(&EVENTS)
    }
}

async fn publish_all(server: &Server) {
    let mut tick = interval(BETWEEN_EVENTS);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for id in 1..=EVENTS {
        tick.tick().await;
        let envelope = match id % 3 {
            0 => urgent_comment(456, id),
            1 => comment(456, id),
            _ => idle_comment(456, id),
        };
        let published = server.publish(&envelope).await;
        assert_eq!(published[0].offset, Some(id));
    }
}

async fn assert_exactly_once_in_order(way: Way, seed: u64) {
    let server = Server::configured(CONFIG).await;
    let proxy = Proxy::to(server.address()).await;
    let mut follower = Follower {
        way,
        proxy,
        random: StdRng::seed_from_u64(seed),
        position: None,
        seen: Vec::new(),
        connections: 0,
        recoveries: 0,
    };
    // The position from which everything counts. No cut falls into finding it out.
    let first = Client::connect(&server, &Token::of(7)).await;
    follower.position = Some(
        first
            .subscribe(CHANNEL)
            .await
            .expect("the thread is public")
            .position(),
    );
    drop(first);
    let following = async {
        while !follower.has_all() {
            follower.follow().await;
        }
    };
    let both = async { tokio::join!(publish_all(&server), following) };
    timeout(Duration::from_secs(60), both)
        .await
        .expect("the last event arrives in the end");
    assert_eq!(follower.seen, (1..=EVENTS).collect::<Vec<_>>());
    assert!(
        follower.connections >= 20,
        "{} connections",
        follower.connections
    );
    assert!(
        follower.recoveries >= 5,
        "{} recoveries brought events",
        follower.recoveries
    );
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_by_command_gets_every_event_once_in_order_across_cuts() {
    assert_exactly_once_in_order(Way::Command, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_by_query_gets_every_event_once_in_order_across_cuts() {
    assert_exactly_once_in_order(Way::Query, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_by_claim_gets_every_event_once_in_order_across_cuts() {
    assert_exactly_once_in_order(Way::Claim, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_join_at_any_moment_of_a_busy_channel_get_every_event_once_in_order() {
    let server = Server::configured(CONFIG).await;
    let start = Client::connect(&server, &Token::of(1))
        .await
        .subscribe(CHANNEL)
        .await
        .expect("public")
        .position();
    let mut random = StdRng::seed_from_u64(4);
    let joining = async {
        let mut joined = HashMap::new();
        for user in 2..=60 {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..250))).await;
            let client = Client::connect(&server, &Token::of(user)).await;
            let reply = match user % 2 {
                0 => client.subscribe(CHANNEL).await.expect("public"),
                _ => client.recover(CHANNEL, &start).await.expect("public"),
            };
            joined.insert(user, (client, reply));
        }
        joined
    };
    let ((), joined) = tokio::join!(publish_all(&server), joining);
    for (user, (client, reply)) in joined {
        let first = match user % 2 {
            0 => reply.offset,
            _ => 0,
        };
        assert_eq!(reply.recovered, reply.was_recovering, "{reply:?}");
        let mut offsets = reply.offsets();
        let missing = usize::try_from(EVENTS - first).expect("a small number") - offsets.len();
        client.pushes(missing, SILENCE).await;
        client.settle().await;
        offsets.extend(client.pushed().iter().filter_map(Push::offset));
        assert_eq!(
            offsets,
            (first + 1..=EVENTS).collect::<Vec<_>>(),
            "user {user}"
        );
    }
}
