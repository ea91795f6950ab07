//! Coming back: nothing missed, nothing twice.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod common;

use std::time::Duration;

use common::{Client, event, node, offsets};
use fanfare::{Config, Node, Priority};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::timeout;

fn recovering(channel: &str, epoch: &Value, offset: u64) -> Value {
    json!({"subscribe": {"channel": channel, "recover": true, "epoch": epoch, "offset": offset}})
}

fn recovered_offsets(reply: &Value) -> Vec<u64> {
    let publications = reply["publications"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    publications
        .iter()
        .map(|publication| publication["offset"].as_u64().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn missed_events_come_with_the_reply() {
    let node = node(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    let epoch = client.subscribe("thread.1").await["epoch"].clone();
    drop(client);
    for number in 1..=3 {
        node.publish(event("thread.1", number)).await.unwrap();
    }
    let mut client = Client::connected(&node, "1").await;
    let reply = client.command(recovering("thread.1", &epoch, 1)).await["subscribe"].clone();
    assert_eq!(recovered_offsets(&reply), [2, 3]);
    assert_eq!(
        (&reply["was_recovering"], &reply["recovered"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        reply["offset"], 1,
        "each recovered publication moves the client on from here"
    );
}

#[tokio::test(start_paused = true)]
async fn a_position_that_history_does_not_cover_is_not_recovered() {
    let mut config = Config::default();
    config.history.events = 2;
    let node = node(config).await;
    let mut client = Client::connected(&node, "1").await;
    let epoch = client.subscribe("thread.1").await["epoch"].clone();
    drop(client);
    for number in 1..=4 {
        node.publish(event("thread.1", number)).await.unwrap();
    }
    let cases = [
        (epoch.clone(), 1),
        (json!("00000000000000ff"), 3),
        (json!("_"), 0),
        (epoch, 5),
    ];
    for (at, (epoch, offset)) in cases.into_iter().enumerate() {
        let mut client = Client::connected(&node, &at.to_string()).await;
        let reply =
            client.command(recovering("thread.1", &epoch, offset)).await["subscribe"].clone();
        assert_eq!(reply["recovered"], false, "{reply}");
        assert_eq!(reply["was_recovering"], true);
        assert_eq!(reply["offset"], 4);
        assert_eq!(recovered_offsets(&reply), Vec::<u64>::new());
    }
}

/// A client that remembers where it stood, and checks that nothing is missing or twice.
struct Follower {
    user: String,
    epoch: Value,
    position: u64,
    client: Option<Client>,
}

impl Follower {
    async fn join(&mut self, node: &Node) {
        let mut client = Client::connected(node, &self.user).await;
        let reply = if self.epoch.is_null() {
            client.subscribe("thread.1").await
        } else {
            client
                .command(recovering("thread.1", &self.epoch, self.position))
                .await["subscribe"]
                .clone()
        };
        if self.epoch.is_null() {
            self.epoch = reply["epoch"].clone();
            self.position = reply["offset"].as_u64().unwrap();
        } else {
            assert_eq!(reply["recovered"], true, "{reply}");
        }
        self.take(&recovered_offsets(&reply));
        self.client = Some(client);
    }

    fn take(&mut self, offsets: &[u64]) {
        for offset in offsets {
            assert_eq!(*offset, self.position + 1, "user {}", self.user);
            self.position = *offset;
        }
    }

    async fn read(&mut self, within: Duration) {
        let Some(client) = &mut self.client else {
            return;
        };
        while let Ok(message) = timeout(within, client.message()).await {
            let offsets = offsets(&message.unwrap());
            for offset in &offsets {
                assert_eq!(*offset, self.position + 1, "user {}", self.user);
                self.position = *offset;
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Priority),
    Join(usize),
    Leave(usize),
    Read(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::sample::select(Priority::ALL.to_vec()).prop_map(Step::Publish),
        2 => (0usize..3).prop_map(Step::Join),
        2 => (0usize..3).prop_map(Step::Leave),
        2 => (0usize..3).prop_map(Step::Read),
        1 => (0u64..4_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whoever_comes_and_goes_sees_every_event_once(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut config = Config::default();
            // Those who do not read for a minute are not what this is about. The first ping comes at
            // a random moment of this time, so a day was short enough to meet it now and then.
            config.heartbeat.ping = Duration::from_secs(1_000_000_000);
            let node = node(config).await;
            let mut followers = (0..3)
                .map(|at| Follower { user: at.to_string(), epoch: Value::Null, position: 0, client: None })
                .collect::<Vec<_>>();
            let mut published = 0;
            for step in steps {
                match step {
                    Step::Publish(priority) => {
                        published += 1;
                        node.publish(event("thread.1", published).with_priority(priority)).await.unwrap();
                    }
                    Step::Join(at) if followers[at].client.is_none() => followers[at].join(&node).await,
                    Step::Join(_) => {}
                    Step::Leave(at) => followers[at].client = None,
                    Step::Read(at) => followers[at].read(Duration::from_millis(1)).await,
                    Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
                }
            }
            for follower in &mut followers {
                if follower.client.is_none() {
                    follower.join(&node).await;
                }
                follower.read(Duration::from_secs(30)).await;
                assert_eq!(follower.position, published);
            }
        });
    }
}

/// The same in real time on several threads, where joins meet flushes at any point.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn joins_race_flushes_without_gap_or_overlap() {
    const EVENTS: u64 = 5_000;
    let mut config = Config::default();
    config.history.events = EVENTS as usize;
    config.history.bytes = 64 << 20;
    config.linger.medium = Duration::from_millis(3);
    config.linger.low = Duration::from_millis(9);
    let node = node(config).await;
    let publishing = {
        let node = node.clone();
        tokio::spawn(async move {
            for number in 1..=EVENTS {
                let priority = Priority::ALL[(number % 3) as usize];
                node.publish(event("thread.1", number).with_priority(priority))
                    .await
                    .unwrap();
                if number % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    };
    let following = (0..8).map(|at| {
        let node = node.clone();
        tokio::spawn(async move {
            let mut follower = Follower {
                user: at.to_string(),
                epoch: Value::Null,
                position: 0,
                client: None,
            };
            while follower.position < EVENTS {
                follower.join(&node).await;
                for _ in 0..(at + 1) * 3 {
                    let client = follower.client.as_mut().unwrap();
                    let Ok(message) = timeout(Duration::from_millis(50), client.message()).await
                    else {
                        break;
                    };
                    let offsets = offsets(&message.unwrap());
                    follower.take(&offsets);
                }
                follower.client = None;
            }
        })
    });
    for task in following.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    publishing.await.unwrap();
}
