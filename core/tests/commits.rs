//! What history may still lose, nobody sees; in paused time, over a store that commits by hand.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod common;
mod gated;
mod lines;

use std::time::Duration;

use common::{Client, builder, channel, event, numbers, offsets};
use fanfare::codec::{Connect, Since};
use fanfare::{Config, Disconnect, Error, ErrorKind, Node, Priority, Published};
use gated::Gated;
use proptest::prelude::*;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep, timeout};

const MOMENT: Duration = Duration::from_millis(5);
const LOW: Duration = Duration::from_secs(10);

async fn start(mut config: Config) -> (Node, Gated) {
    // Those who do not read for a minute are not what this is about.
    config.heartbeat.ping = Duration::from_secs(24 * 60 * 60);
    let store = Gated::default();
    let node = builder(config).history(store.clone()).start();
    (node.await.unwrap(), store)
}

type Publishing = JoinHandle<Result<Published, Error>>;

/// Publishes, and comes back once the event has been appended.
async fn publish(node: &Node, name: &str, number: u64, priority: Priority) -> Publishing {
    let node = node.clone();
    let event = event(name, number).with_priority(priority);
    let publishing = tokio::spawn(async move { node.publish(event).await });
    sleep(MOMENT).await;
    publishing
}

async fn nothing(client: &mut Client) {
    let message = timeout(MOMENT, client.message()).await;
    assert!(message.is_err(), "{message:?}");
}

async fn history(node: &Node, name: &str) -> (Vec<u64>, u64) {
    let (publications, top) = node
        .history(&channel(name), None, 100, false)
        .await
        .unwrap();
    let offsets = publications.iter().map(|p| p.position().unwrap().offset);
    (offsets.collect(), top.offset)
}

#[tokio::test(start_paused = true)]
async fn nobody_sees_what_may_be_lost() {
    let (node, store) = start(Config::default()).await;
    let mut subscriber = Client::connected(&node, "1").await;
    subscriber.subscribe("thread.1").await;
    let polling = ["thread.1"];
    let begin = lines::poll(&node, "2", &polling, Connect::default(), Duration::ZERO);
    let begin = begin.await.unwrap().1.cursor.to_string();

    let publishing = publish(&node, "thread.1", 1, Priority::High).await;
    sleep(Duration::from_secs(3)).await;
    assert!(!publishing.is_finished());
    nothing(&mut subscriber).await;
    assert_eq!(history(&node, "thread.1").await, (vec![], 0));
    let connect = lines::resuming(&begin);
    let (polled, answer) = lines::poll(&node, "2", &polling, connect, Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(polled, []);
    assert_eq!(answer.cursor.to_string(), begin);
    let mut joiner = Client::connected(&node, "3").await;
    assert_eq!(joiner.subscribe("thread.1").await["offset"], 0);

    store.commit_all();
    let published = publishing.await.unwrap().unwrap();
    assert_eq!(published.position.unwrap().offset, 1);
    assert_eq!(offsets(&subscriber.message().await.unwrap()), [1]);
    assert_eq!(offsets(&joiner.message().await.unwrap()), [1]);
    assert_eq!(history(&node, "thread.1").await, (vec![1], 1));
    let connect = lines::resuming(&begin);
    let (polled, _) = lines::poll(&node, "2", &polling, connect, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(lines::numbers(&polled), [1]);
    nothing(&mut subscriber).await;
    nothing(&mut joiner).await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_gets_what_a_commit_makes_safe() {
    let (node, store) = start(Config::default()).await;
    let publishing = publish(&node, "thread.1", 1, Priority::High).await;
    let polling = {
        let node = node.clone();
        tokio::spawn(async move {
            let wait = Duration::from_secs(30);
            lines::poll(&node, "2", &["thread.1"], Connect::default(), wait).await
        })
    };
    sleep(Duration::from_secs(1)).await;
    assert!(!polling.is_finished());
    store.commit_all();
    let (polled, _) = polling.await.unwrap().unwrap();
    assert_eq!(lines::numbers(&polled), [1]);
    publishing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_committed_as_one() {
    let (node, store) = start(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.0").await;
    let events = (0..30).map(|number| {
        event(&format!("thread.{}", number % 3), number).with_priority(Priority::High)
    });
    let publishing = {
        let (node, events) = (node.clone(), events.collect());
        tokio::spawn(async move { node.publish_all(events).await })
    };
    sleep(MOMENT).await;
    assert_eq!(store.appended(), 30, "all of it, before the first is safe");
    store.commit(29);
    sleep(MOMENT).await;
    assert!(!publishing.is_finished());
    store.commit(30);
    let published = publishing.await.unwrap().unwrap();
    let given = published.iter().map(|p| p.position.unwrap().offset);
    let expected = (0..30).map(|number| number / 3 + 1);
    assert_eq!(given.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    let message = client.message().await.unwrap();
    assert_eq!(offsets(&message), (1..=10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn what_is_safe_goes_ahead_of_what_is_not() {
    let (node, store) = start(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let mut publishing = Vec::new();
    for number in 1..=5 {
        publishing.push(publish(&node, "thread.1", number, Priority::High).await);
    }
    for (safe, shown) in [(2, vec![1, 2]), (2, vec![]), (3, vec![3]), (5, vec![4, 5])] {
        store.commit(safe);
        if shown.is_empty() {
            nothing(&mut client).await;
        } else {
            assert_eq!(offsets(&client.message().await.unwrap()), shown);
        }
        assert_eq!(history(&node, "thread.1").await.1, safe);
    }
    for publishing in publishing {
        publishing.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_does_not_shorten_the_wait_for_company() {
    let (node, store) = start(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let begun = Instant::now();
    let low = publish(&node, "thread.1", 1, Priority::Low).await;
    store.commit_all();
    low.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "accepted at once");
    nothing(&mut client).await;
    assert_eq!(numbers(&client.message().await.unwrap()), [1]);
    assert!(begun.elapsed() > LOW / 2 && begun.elapsed() < LOW);
}

#[tokio::test(start_paused = true)]
async fn a_late_commit_is_flushed_at_once_with_what_is_urgent() {
    let (node, store) = start(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let low = publish(&node, "thread.1", 1, Priority::Low).await;
    let high = publish(&node, "thread.1", 2, Priority::High).await;
    sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    store.commit_all();
    assert_eq!(numbers(&client.message().await.unwrap()), [1, 2]);
    assert!(begun.elapsed() < MOMENT);
    low.await.unwrap().unwrap();
    high.await.unwrap().unwrap();

    let medium = publish(&node, "thread.1", 3, Priority::Medium).await;
    sleep(LOW).await;
    nothing(&mut client).await;
    let begun = Instant::now();
    store.commit_all();
    assert_eq!(numbers(&client.message().await.unwrap()), [3]);
    assert!(begun.elapsed() < MOMENT, "its deadline is long over");
    medium.await.unwrap().unwrap();
}

/// The joiner's position, what its reply brought, and what came live.
async fn joins(node: &Node, user: &str, recover: bool) -> (Client, Vec<u64>) {
    let mut client = Client::connected(node, user).await;
    let command = json!({"subscribe": {"channel": "thread.1", "recover": recover, "offset": 0}});
    let reply = client.command(command).await["subscribe"].clone();
    assert_eq!(reply["recovered"].as_bool(), recover.then_some(true));
    let publications = reply["publications"].as_array().cloned();
    let publications = publications.unwrap_or_default();
    let offsets = publications.iter().map(|p| p["offset"].as_u64().unwrap());
    (client, offsets.collect())
}

#[tokio::test(start_paused = true)]
async fn whoever_joins_before_the_commit_gets_the_event_once() {
    for others in [false, true] {
        for priority in Priority::ALL {
            let (node, store) = start(Config::default()).await;
            let mut first = Client::connected(&node, "1").await;
            if others {
                first.subscribe("thread.1").await;
            }
            let publishing = publish(&node, "thread.1", 1, priority).await;
            let (mut fresh, with_reply) = joins(&node, "2", false).await;
            assert!(with_reply.is_empty());
            let (mut recovering, with_reply) = joins(&node, "3", true).await;
            assert!(with_reply.is_empty());
            store.commit_all();
            publishing.await.unwrap().unwrap();
            let (_late, with_reply) = joins(&node, "4", true).await;
            let late_got = with_reply.len();
            for client in [&mut fresh, &mut recovering] {
                assert_eq!(offsets(&client.message().await.unwrap()), [1]);
                assert!(timeout(LOW * 2, client.message()).await.is_err());
            }
            assert!(late_got <= 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_nobody_listens_to_waits_for_its_commit_too() {
    let (node, store) = start(Config::default()).await;
    let publishing = publish(&node, "thread.1", 1, Priority::Low).await;
    assert_eq!(history(&node, "thread.1").await, (vec![], 0));
    // Longer than an empty channel stays: it must not be forgotten with what it holds.
    sleep(Duration::from_secs(30)).await;
    assert_eq!(history(&node, "thread.1").await, (vec![], 0));
    assert!(!publishing.is_finished());
    store.commit_all();
    publishing.await.unwrap().unwrap();
    assert_eq!(history(&node, "thread.1").await, (vec![1], 1));
    let (mut client, with_reply) = joins(&node, "1", true).await;
    assert_eq!(with_reply, [1]);
    assert!(timeout(LOW * 2, client.message()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn conflation_waits_for_its_commit() {
    let (node, store) = start(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let mut publishing = Vec::new();
    for number in 1..=100 {
        let node = node.clone();
        let event = event("thread.1", number).with_priority(Priority::High);
        let event = event.conflated_by(if number % 2 == 0 { "even" } else { "odd" });
        publishing.push(tokio::spawn(async move { node.publish(event).await }));
        sleep(MOMENT).await;
    }
    store.commit(98);
    nothing(&mut client).await;
    store.commit(99);
    assert_eq!(offsets(&client.message().await.unwrap()), [99]);
    store.commit(100);
    assert_eq!(offsets(&client.message().await.unwrap()), [100]);
    for publishing in publishing {
        publishing.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_commits() {
    let (node, store) = start(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let publishing = publish(&node, "thread.1", 1, Priority::Low).await;
    let draining = {
        let node = node.clone();
        tokio::spawn(async move { node.drain().await })
    };
    sleep(Duration::from_secs(2)).await;
    assert!(!draining.is_finished() && !publishing.is_finished());
    nothing(&mut client).await;
    store.commit_all();
    publishing.await.unwrap().unwrap();
    assert_eq!(numbers(&client.message().await.unwrap()), [1]);
    assert_eq!(client.message().await.unwrap_err(), Disconnect::SHUTDOWN);
    drop(client);
    draining.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_store_has_not_committed_is_refused_and_never_shown() {
    let (node, store) = start(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let safe = publish(&node, "thread.1", 1, Priority::High).await;
    let lost = publish(&node, "thread.1", 2, Priority::High).await;
    store.commit(1);
    store.fail();
    safe.await.unwrap().unwrap();
    let refused = lost.await.unwrap().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(!node.history_is_up());
    let refused = node.publish(event("thread.1", 3)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    let refused = node.publish_all(vec![event("thread.1", 4)]).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(offsets(&client.message().await.unwrap()), [1]);
    assert!(timeout(LOW * 2, client.message()).await.is_err());
    assert_eq!(history(&node, "thread.1").await, (vec![1], 1));
}

#[tokio::test(start_paused = true)]
async fn publishers_that_wait_for_room_are_told_of_a_failed_store() {
    let mut config = Config::default();
    config.limits.envelope = 100;
    config.buffers.flush = 1_000;
    config.buffers.pending = 1_000;
    let (node, store) = start(config).await;
    let mut publishing = Vec::new();
    for number in 0..100 {
        publishing.push(publish(&node, "thread.1", number, Priority::Medium).await);
    }
    assert!(store.appended() < 100, "some wait until there is room");
    store.fail();
    for publishing in publishing {
        let outcome = timeout(LOW, publishing).await.expect("an answer");
        assert_eq!(outcome.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_with_a_failed_store_still_sends_its_clients_elsewhere() {
    let (node, store) = start(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let lost = publish(&node, "thread.1", 1, Priority::High).await;
    store.fail();
    lost.await.unwrap().unwrap_err();
    let begun = Instant::now();
    let draining = {
        let node = node.clone();
        tokio::spawn(async move { node.drain().await })
    };
    let end = timeout(Config::default().drain.limit * 2, client.message()).await;
    assert_eq!(
        end.expect("the connection ends").unwrap_err(),
        Disconnect::SHUTDOWN
    );
    drop(client);
    draining.await.unwrap();
    assert!(begun.elapsed() < Config::default().drain.limit);
}

/// A client that remembers where it stood, and checks that nothing is missing or twice.
struct Follower {
    user: String,
    since: Option<Since>,
    client: Option<Client>,
}

impl Follower {
    async fn join(&mut self, node: &Node, safe: u64) {
        if self.client.is_some() {
            return;
        }
        let mut client = Client::connected(node, &self.user).await;
        let mut subscribe = json!({"channel": "thread.1"});
        if let Some(since) = &self.since {
            subscribe["recover"] = true.into();
            subscribe["epoch"] = since.epoch.clone().into();
            subscribe["offset"] = since.offset.into();
        }
        let reply = client.command(json!({ "subscribe": subscribe })).await["subscribe"].clone();
        match &self.since {
            Some(_) => assert_eq!(reply["recovered"], true, "{reply}"),
            None => {
                self.since = Some(Since {
                    epoch: reply["epoch"].as_str().unwrap().to_owned(),
                    offset: reply["offset"].as_u64().unwrap(),
                });
            }
        }
        let publications = reply["publications"].as_array().cloned();
        for publication in publications.unwrap_or_default() {
            self.take(publication["offset"].as_u64().unwrap(), safe);
        }
        self.client = Some(client);
    }

    fn take(&mut self, offset: u64, safe: u64) {
        let since = self.since.as_mut().unwrap();
        assert_eq!(offset, since.offset + 1, "user {}", self.user);
        assert!(offset <= safe, "user {} sees what may be lost", self.user);
        since.offset = offset;
    }

    async fn read(&mut self, safe: u64) {
        while let Some(client) = &mut self.client
            && let Ok(message) = timeout(MOMENT, client.message()).await
        {
            for offset in offsets(&message.unwrap()) {
                self.take(offset, safe);
            }
        }
    }
}

/// A client that polls, and checks the same.
#[derive(Default)]
struct Poller {
    cursor: Option<String>,
    seen: Option<u64>,
}

impl Poller {
    async fn poll(&mut self, node: &Node, wait: Duration, safe: u64) {
        let connect = self.cursor.as_deref().map(lines::resuming);
        let polled = lines::poll(
            node,
            "poller",
            &["thread.1"],
            connect.unwrap_or_default(),
            wait,
        );
        let (polled, answer) = polled.await.unwrap();
        assert!(answer.recovered);
        self.cursor = Some(answer.cursor.to_string());
        let position = answer.cursor.position(&channel("thread.1")).unwrap();
        for line in polled {
            let lines::Line::Event { offset, .. } = line else {
                panic!("{line:?}");
            };
            let offset = offset.unwrap();
            assert!(offset <= safe, "a poll sees what may be lost");
            if let Some(seen) = self.seen {
                assert_eq!(offset, seen + 1);
            }
            self.seen = Some(offset);
        }
        assert_eq!(*self.seen.get_or_insert(position.offset), position.offset);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Priority),
    Commit(u64),
    Join(usize),
    Leave(usize),
    Read(usize),
    Poll(u64),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => prop::sample::select(Priority::ALL.to_vec()).prop_map(Step::Publish),
        3 => (1u64..5).prop_map(Step::Commit),
        2 => (0usize..3).prop_map(Step::Join),
        2 => (0usize..3).prop_map(Step::Leave),
        2 => (0usize..3).prop_map(Step::Read),
        2 => (0u64..3).prop_map(Step::Poll),
        1 => (0u64..12_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// However appends, commits, joins, leaves and polls interleave: whoever stays, or resumes where
    /// it stood, sees every safe event once, in order, and none before it is safe.
    #[test]
    fn every_safe_event_is_seen_once(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (node, store) = start(Config::default()).await;
            let mut followers = (0..3)
                .map(|at| Follower { user: at.to_string(), since: None, client: None })
                .collect::<Vec<_>>();
            let mut poller = Poller::default();
            let (mut published, mut safe) = (Vec::new(), 0);
            for step in steps {
                match step {
                    Step::Publish(priority) => {
                        let number = published.len() as u64 + 1;
                        published.push(publish(&node, "thread.1", number, priority).await);
                    }
                    Step::Commit(more) => {
                        safe = store.appended().min(safe + more);
                        store.commit(safe);
                    }
                    Step::Join(at) => followers[at].join(&node, safe).await,
                    Step::Leave(at) => followers[at].client = None,
                    Step::Read(at) => followers[at].read(safe).await,
                    Step::Poll(seconds) => poller.poll(&node, Duration::from_secs(seconds), safe).await,
                    Step::Wait(millis) => advance(Duration::from_millis(millis)).await,
                }
            }
            store.commit_all();
            let all = published.len() as u64;
            for publishing in published {
                publishing.await.unwrap().unwrap();
            }
            sleep(LOW * 2).await;
            for follower in &mut followers {
                follower.join(&node, all).await;
                follower.read(all).await;
                assert_eq!(follower.since.as_ref().unwrap().offset, all);
            }
            poller.poll(&node, Duration::ZERO, all).await;
            assert_eq!(poller.seen, Some(all));
        });
    }
}
