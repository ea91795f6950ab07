//! Clients that ask, get, and go; in paused time.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod common;
mod gated;
mod lines;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use common::{builder, channel, event, node};
use fanfare::codec::{Connect, Since};
use fanfare::{
    Action, Authorizer, BoxFuture, Broker, BrokerError, Channel, Config, Disconnect, Error,
    ErrorKind, Event, Guarantee, Guarantees, Identity, Ingress, Node, Polled, Priority, Published,
    Refusal,
};
use lines::{Line, LineClient, PolledLines, numbers, opening, poll, resuming};
use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};

const NONE: Duration = Duration::ZERO;

async fn high(node: &Node, name: &str, number: u64) {
    let event = event(name, number).with_priority(Priority::High);
    node.publish(event).await.unwrap();
}

fn cursor(polled: &Polled) -> String {
    polled.cursor.to_string()
}

async fn begin(node: &Node, channels: &[&str]) -> String {
    let (lines, polled) = poll(node, "1", channels, Connect::default(), NONE)
        .await
        .unwrap();
    assert!(lines.is_empty() && polled.recovered);
    cursor(&polled)
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_answered_at_once() {
    let node = node(Config::default()).await;
    let channels = ["thread.1", "thread.2"];
    high(&node, "thread.1", 1).await;
    let begun = begin(&node, &channels).await;
    high(&node, "thread.2", 2).await;
    high(&node, "thread.1", 3).await;
    let asked = Instant::now();
    let wait = Duration::from_secs(60);
    let (lines, polled) = poll(&node, "1", &channels, resuming(&begun), wait)
        .await
        .unwrap();
    assert_eq!(asked.elapsed(), NONE);
    assert_eq!(numbers(&lines), [3, 2]);
    assert!(polled.recovered);
    let (lines, again) = poll(&node, "1", &channels, resuming(&cursor(&polled)), NONE)
        .await
        .unwrap();
    assert_eq!(lines, []);
    assert_eq!(cursor(&again), cursor(&polled));
    let (lines, _) = poll(&node, "1", &channels, resuming(&begun), wait)
        .await
        .unwrap();
    assert_eq!(numbers(&lines), [3, 2], "whoever asks again gets it again");
}

#[tokio::test(start_paused = true)]
async fn a_poll_waits_for_the_first_event() {
    let node = node(Config::default()).await;
    let channels = ["thread.1", "thread.2"];
    let begun = begin(&node, &channels).await;
    let asked = Instant::now();
    let publishing = async {
        sleep(Duration::from_secs(7)).await;
        high(&node, "thread.2", 1).await;
    };
    let wait = Duration::from_secs(25);
    let asking = poll(&node, "1", &channels, resuming(&begun), wait);
    let (answer, ()) = tokio::join!(asking, publishing);
    let (lines, polled) = answer.unwrap();
    assert_eq!(numbers(&lines), [1]);
    assert!(asked.elapsed() < Duration::from_secs(8));
    assert_eq!(
        polled.cursor.position(&channel("thread.2")).unwrap().offset,
        1
    );
    assert_eq!(
        polled.cursor.position(&channel("thread.1")).unwrap().offset,
        0
    );
    let (lines, _) = poll(&node, "1", &channels, resuming(&cursor(&polled)), NONE)
        .await
        .unwrap();
    assert_eq!(lines, []);
}

#[tokio::test(start_paused = true)]
async fn a_poll_in_vain_ends_in_time_with_a_cursor() {
    let node = node(Config::default()).await;
    let asked = Instant::now();
    let wait = Duration::from_secs(60);
    let (lines, polled) = poll(&node, "1", &["thread.1"], Connect::default(), wait)
        .await
        .unwrap();
    assert_eq!(lines, []);
    assert!(polled.recovered);
    assert!(asked.elapsed() >= wait && asked.elapsed() < wait + Duration::from_secs(1));
    high(&node, "thread.1", 1).await;
    let (lines, _) = poll(&node, "1", &["thread.1"], resuming(&cursor(&polled)), NONE)
        .await
        .unwrap();
    assert_eq!(numbers(&lines), [1]);
}

#[tokio::test(start_paused = true)]
async fn ephemeral_events_are_not_polled_for() {
    let node = node(Config::default()).await;
    let begun = begin(&node, &["thread.1"]).await;
    let typing = event("thread.1", 1)
        .with_priority(Priority::High)
        .with_guarantee(Guarantee::Ephemeral);
    node.publish(typing.clone()).await.unwrap();
    let (lines, polled) = poll(&node, "1", &["thread.1"], resuming(&begun), NONE)
        .await
        .unwrap();
    assert_eq!(lines, []);
    assert_eq!(cursor(&polled), begun);
    // Nor by one that waits.
    let publishing = async {
        sleep(Duration::from_secs(1)).await;
        node.publish(typing.clone()).await.unwrap();
    };
    let wait = Duration::from_secs(5);
    let asking = poll(&node, "1", &["thread.1"], resuming(&begun), wait);
    let (answer, ()) = tokio::join!(asking, publishing);
    assert_eq!(answer.unwrap().0, []);
    // Nor where they leave together with others.
    let publishing = async {
        sleep(Duration::from_secs(1)).await;
        node.publish(event("thread.1", 2)).await.unwrap();
        node.publish(typing.clone()).await.unwrap();
    };
    let asking = poll(&node, "1", &["thread.1"], resuming(&begun), wait);
    let (answer, ()) = tokio::join!(asking, publishing);
    assert_eq!(numbers(&answer.unwrap().0), [2]);
}

#[tokio::test(start_paused = true)]
async fn answers_page_on_without_loss() {
    let mut config = Config::default();
    config.history.events = 10_000;
    let node = node(config).await;
    let channels = ["thread.1", "thread.2"];
    let mut at = begin(&node, &channels).await;
    for number in 0..2_500 {
        high(&node, "thread.1", number).await;
        if number % 10 == 0 {
            high(&node, "thread.2", number).await;
        }
    }
    let mut of_one = Vec::new();
    let mut of_two = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let (lines, polled) = poll(&node, "1", &channels, resuming(&at), NONE)
            .await
            .unwrap();
        assert!(polled.recovered);
        if lines.is_empty() {
            break;
        }
        sizes.push(lines.len());
        for line in &lines {
            let Line::Event {
                channel, number, ..
            } = line
            else {
                panic!("{line:?}");
            };
            let list = if channel == "thread.1" {
                &mut of_one
            } else {
                &mut of_two
            };
            list.push(*number);
        }
        at = cursor(&polled);
    }
    assert_eq!(sizes, [1_250, 1_000, 500]);
    assert_eq!(of_one, (0..2_500).collect::<Vec<_>>());
    assert_eq!(of_two, (0..2_500).step_by(10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn large_events_page_by_bytes() {
    let mut config = Config::default();
    config.limits.envelope = 10_000;
    config.buffers.flush = 10_000;
    config.buffers.outbox = 20_000;
    let node = node(config).await;
    let mut at = begin(&node, &["thread.1"]).await;
    for number in 0..20 {
        let payload = format!("\"{number}{}\"", " ".repeat(9_000));
        let event = Event::new(channel("thread.1"), "e", payload).unwrap();
        node.publish(event.with_priority(Priority::High))
            .await
            .unwrap();
    }
    let mut seen = Vec::new();
    loop {
        let (lines, polled) = poll(&node, "1", &["thread.1"], resuming(&at), NONE)
            .await
            .unwrap();
        if lines.is_empty() {
            break;
        }
        assert!(polled.events.len() <= 20_000 && polled.recovered);
        seen.extend(numbers(&lines));
        at = cursor(&polled);
    }
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

/// Several channels share an answer's bytes, and each comes on nevertheless.
#[tokio::test(start_paused = true)]
async fn an_answer_is_bounded_over_all_channels() {
    let mut config = Config::default();
    config.buffers.outbox = 512 << 10;
    let node = node(config).await;
    let channels = ["thread.1", "thread.2", "thread.3", "thread.4"];
    let mut at = begin(&node, &channels).await;
    let payload = format!("\"1{}\"", " ".repeat(20 << 10));
    for _ in 0..40 {
        for name in channels {
            let event = Event::new(channel(name), "e", payload.clone()).unwrap();
            let event = event.with_priority(Priority::High);
            node.publish(event).await.unwrap();
        }
    }
    let mut seen = vec![0; channels.len()];
    while seen.iter().sum::<usize>() < 160 {
        let (lines, polled) = poll(&node, "1", &channels, resuming(&at), NONE)
            .await
            .unwrap();
        assert!(polled.recovered && !lines.is_empty(), "{seen:?} of 40 each");
        assert!(polled.events.len() <= (512 << 10) + channels.len() * payload.len());
        at = cursor(&polled);
        for line in &lines {
            let Line::Event { channel, .. } = line else {
                panic!("{line:?}");
            };
            let place = channels.iter().position(|name| name == channel).unwrap();
            seen[place] += 1;
        }
        let ahead = seen.iter().max().unwrap() - seen.iter().min().unwrap();
        assert!(ahead <= 8, "{seen:?}: each has its share");
    }
    assert_eq!(seen, [40; 4]);
}

fn keeps_five() -> Config {
    let mut config = Config::default();
    config.history.events = 5;
    config
}

#[tokio::test(start_paused = true)]
async fn a_poller_misses_nothing_of_a_busy_channel_within_a_minute() {
    let node = node(keeps_five()).await;
    let mut at = begin(&node, &["thread.1"]).await;
    let mut number = 0;
    let mut seen = Vec::new();
    for _ in 0..10 {
        for _ in 0..30 {
            sleep(Duration::from_secs(1)).await;
            high(&node, "thread.1", number).await;
            number += 1;
        }
        let (lines, polled) = poll(&node, "1", &["thread.1"], resuming(&at), NONE)
            .await
            .unwrap();
        assert!(polled.recovered);
        seen.extend(numbers(&lines));
        at = cursor(&polled);
    }
    assert_eq!(seen, (0..number).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn one_poller_does_not_shorten_what_is_kept_for_another() {
    let node = node(keeps_five()).await;
    let wait = Duration::from_secs(60);
    let waiting = poll(&node, "1", &["thread.1"], Connect::default(), wait);
    let meanwhile = async {
        sleep(Duration::from_secs(1)).await;
        poll(&node, "2", &["thread.1"], Connect::default(), NONE)
            .await
            .unwrap();
    };
    let (answer, ()) = tokio::join!(waiting, meanwhile);
    let at = cursor(&answer.unwrap().1);
    for number in 0..50 {
        sleep(Duration::from_secs(1)).await;
        high(&node, "thread.1", number).await;
    }
    let (lines, polled) = poll(&node, "1", &["thread.1"], resuming(&at), NONE)
        .await
        .unwrap();
    assert!(polled.recovered, "it came back within a minute");
    assert_eq!(numbers(&lines), (0..50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_poller_that_stays_away_too_long_is_told_so() {
    let node = node(keeps_five()).await;
    let at = begin(&node, &["thread.1"]).await;
    sleep(Duration::from_secs(90)).await;
    for number in 0..10 {
        high(&node, "thread.1", number).await;
    }
    let asked = Instant::now();
    let wait = Duration::from_secs(30);
    let (lines, polled) = poll(&node, "1", &["thread.1"], resuming(&at), wait)
        .await
        .unwrap();
    assert_eq!(lines, []);
    assert!(!polled.recovered);
    assert_eq!(asked.elapsed(), NONE, "there is nothing to wait for");
    assert_eq!(
        polled.cursor.position(&channel("thread.1")).unwrap().offset,
        10
    );
    high(&node, "thread.1", 10).await;
    let (lines, polled) = poll(&node, "1", &["thread.1"], resuming(&cursor(&polled)), wait)
        .await
        .unwrap();
    assert!(polled.recovered);
    assert_eq!(numbers(&lines), [10]);
}

#[tokio::test(start_paused = true)]
async fn a_position_stands_in_for_a_cursor() {
    let node = node(Config::default()).await;
    let mut epoch = String::new();
    for number in 1..=3 {
        let event = event("thread.1", number).with_priority(Priority::High);
        let published = node.publish(event).await.unwrap();
        epoch = published.position.unwrap().epoch.to_string();
    }
    let since = |epoch: &str, offset| Connect {
        positions: vec![(
            "thread.1".to_owned(),
            Since {
                epoch: epoch.to_owned(),
                offset,
            },
        )],
        ..Connect::default()
    };
    let (lines, polled) = poll(&node, "1", &["thread.1"], since(&epoch, 1), NONE)
        .await
        .unwrap();
    assert_eq!(numbers(&lines), [2, 3]);
    assert!(polled.recovered);
    let (lines, polled) = poll(&node, "1", &["thread.1"], since("_", 1), NONE)
        .await
        .unwrap();
    assert_eq!(lines, []);
    assert!(!polled.recovered);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_is_good_for_polls_and_connections_alike() {
    let node = node(Config::default()).await;
    let channels = ["thread.1", "thread.2"];
    let begun = begin(&node, &channels).await;
    high(&node, "thread.1", 1).await;
    high(&node, "thread.2", 2).await;
    let mut client = LineClient::resumed(&node, "1", &channels, &begun).await;
    let (read, _) = client.lines(Duration::from_secs(1)).await;
    assert_eq!(numbers(&read), [1, 2]);
    let at = lines::last_cursor(&read).unwrap();
    drop(client);
    high(&node, "thread.1", 3).await;
    let (read, polled) = poll(&node, "1", &channels, resuming(&at), NONE)
        .await
        .unwrap();
    assert_eq!(numbers(&read), [3]);
    high(&node, "thread.2", 4).await;
    let mut client = LineClient::resumed(&node, "1", &channels, &cursor(&polled)).await;
    let (read, _) = client.lines(Duration::from_secs(1)).await;
    assert_eq!(numbers(&read), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_poll_leaves_nothing_behind() {
    let node = node(Config::default()).await;
    let begun = begin(&node, &["thread.1"]).await;
    for _ in 0..20 {
        let wait = Duration::from_secs(60);
        let asking = poll(
            &node,
            "1",
            &["thread.1", "thread.2"],
            resuming(&begun),
            wait,
        );
        assert!(timeout(Duration::from_secs(1), asking).await.is_err());
        assert_eq!((node.sessions(), node.connections()), (0, 0));
        assert_eq!(node.channels().await, []);
    }
    high(&node, "thread.1", 1).await;
    let (lines, _) = poll(&node, "1", &["thread.1"], resuming(&begun), NONE)
        .await
        .unwrap();
    assert_eq!(numbers(&lines), [1], "what was cancelled has taken nothing");
    assert_eq!((node.sessions(), node.connections()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waits_when_the_node_goes_down_is_told_so() {
    let node = node(Config::default()).await;
    let wait = Duration::from_secs(60);
    let asking = poll(&node, "1", &["thread.1"], Connect::default(), wait);
    let draining = async {
        sleep(Duration::from_secs(1)).await;
        node.drain().await;
    };
    let begun = Instant::now();
    let (answer, ()) = tokio::join!(asking, draining);
    assert_eq!(answer.unwrap_err(), Disconnect::SHUTDOWN.into());
    assert!(begun.elapsed() < Duration::from_secs(3));
    let refused = node.open(opening("1", &["thread.1"], PolledLines));
    assert_eq!(refused.unwrap_err(), Disconnect::SHUTDOWN);
}

#[derive(Debug)]
struct ThreadsOnly;

impl Authorizer for ThreadsOnly {
    fn authorize<'a>(
        &'a self,
        _identity: &'a Identity,
        action: Action<'a>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        let allowed = action.channel().family() == "thread";
        let refused = Err(ErrorKind::PermissionDenied.into());
        Box::pin(std::future::ready(if allowed { Ok(()) } else { refused }))
    }
}

#[tokio::test(start_paused = true)]
async fn polls_are_refused_what_connections_are() {
    let mut config = Config::default();
    config.limits.subscriptions = 3;
    let node = builder(config)
        .authorizer(ThreadsOnly)
        .start()
        .await
        .unwrap();
    let refused = poll(
        &node,
        "1",
        &["thread.1", "admin.1"],
        Connect::default(),
        NONE,
    )
    .await;
    assert_eq!(refused.unwrap_err(), Disconnect::PERMISSION_DENIED.into());
    let many = ["thread.1", "thread.2", "thread.3", "thread.4"];
    for wait in [NONE, Duration::from_secs(1)] {
        let Err(Refusal::Error(refused)) = poll(&node, "1", &many, Connect::default(), wait).await
        else {
            panic!("too many channels");
        };
        assert_eq!(refused.kind(), ErrorKind::LimitExceeded);
        let twice = ["thread.1", "thread.2", "thread.3", "thread.1"];
        let answer = poll(&node, "1", &twice, Connect::default(), wait).await;
        assert_eq!(answer.unwrap().1.cursor.len(), 3);
    }
    assert_eq!((node.sessions(), node.connections()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_poll_can_have_the_users_own_channel() {
    let node = node(Config::default()).await;
    let ask = async |connect: Connect| {
        let mut opening = opening("7", &[], PolledLines);
        opening.own_channel = true;
        let session = node.open(opening).unwrap();
        let polled = session.poll(connect, NONE).await.unwrap();
        (numbers(&lines::read_lines(&polled.events)), cursor(&polled))
    };
    let (seen, at) = ask(Connect::default()).await;
    assert!(seen.is_empty());
    high(&node, "user.7", 1).await;
    assert_eq!(ask(resuming(&at)).await.0, [1]);
    assert_eq!(ask(Connect::default()).await.0, [1], "never acknowledged");
}

#[tokio::test(start_paused = true)]
async fn history_that_cannot_be_read_is_an_error_and_no_answer() {
    let store = gated::Gated::default();
    let node = builder(Config::default())
        .history(store.clone())
        .start()
        .await
        .unwrap();
    let begun = begin(&node, &["thread.1"]).await;
    store.fail_reads(1);
    let Err(Refusal::Error(refused)) =
        poll(&node, "1", &["thread.1"], resuming(&begun), NONE).await
    else {
        panic!("the read failed");
    };
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(node.sessions(), 0);
}

/// A broker that carries what other nodes publish, as far as it was asked to.
#[derive(Clone, Debug, Default)]
struct Distant(Arc<Wire>);

#[derive(Debug, Default)]
struct Wire {
    ingress: OnceLock<Ingress>,
    subscribed: Mutex<HashSet<Channel>>,
    subscribes: AtomicUsize,
}

impl Distant {
    fn arrive(&self, event: Event) {
        if self.0.subscribed.lock().unwrap().contains(event.channel()) {
            let _ = self.0.ingress.get().unwrap().deliver(event);
        }
    }
}

impl Broker for Distant {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            name: "distant",
            ordered: true,
            durable: false,
            replayable: false,
            shared_positions: false,
        }
    }

    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.0.ingress.set(ingress).unwrap();
        Box::pin(async { Ok(()) })
    }

    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        self.arrive(event);
        Box::pin(async { Ok(Published { position: None }) })
    }

    fn subscribe(&self, channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        let of_clients = channels.iter().any(|channel| !channel.is_of_nodes());
        let count = usize::from(of_clients);
        self.0.subscribes.fetch_add(count, Ordering::SeqCst);
        self.0.subscribed.lock().unwrap().extend(channels);
        Box::pin(async { Ok(()) })
    }

    fn unsubscribe(&self, channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        let mut subscribed = self.0.subscribed.lock().unwrap();
        subscribed.retain(|known| !channels.contains(known));
        Box::pin(async { Ok(()) })
    }

    fn is_up(&self) -> bool {
        true
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

#[tokio::test(start_paused = true)]
async fn what_other_nodes_publish_between_two_polls_is_there() {
    let broker = Distant::default();
    let mut config = Config::default();
    config.history.age = Duration::from_secs(60);
    let node = builder(config)
        .broker(broker.clone())
        .start()
        .await
        .unwrap();
    let mut at = begin(&node, &["thread.1"]).await;
    for number in 0..20 {
        sleep(Duration::from_secs(30)).await;
        broker.arrive(event("thread.1", number));
        let (lines, polled) = poll(&node, "1", &["thread.1"], resuming(&at), NONE)
            .await
            .unwrap();
        assert!(polled.recovered);
        assert_eq!(numbers(&lines), [number]);
        at = cursor(&polled);
    }
    assert_eq!(
        broker.0.subscribes.load(Ordering::SeqCst),
        1,
        "not for every poll"
    );
    let is_heard = || {
        let subscribed = broker.0.subscribed.lock().unwrap();
        subscribed.contains(&channel("thread.1"))
    };
    sleep(Duration::from_secs(90)).await;
    assert!(
        is_heard(),
        "who comes back must not be told that nothing was missed"
    );
    sleep(Duration::from_secs(300)).await;
    assert!(
        !is_heard(),
        "nobody polls any more, and nothing is remembered"
    );
}

#[derive(Clone, Debug)]
struct Load {
    /// Of each event the channel, the priority, and the pause after it.
    events: Vec<(u8, Priority, u64)>,
    /// The wait of each poll and the pause after it, over and over.
    polls: Vec<(u64, u64)>,
}

fn loads() -> impl Strategy<Value = Load> {
    let pause = prop_oneof![4 => Just(0u64), 2 => 0u64..20, 1 => 0u64..3_000];
    let priority = prop::sample::select(Priority::ALL.to_vec());
    let events = prop::collection::vec((0u8..3, priority, pause), 0..120);
    let wait = prop_oneof![Just(0u64), 1u64..3_000];
    let polls = prop::collection::vec((wait, prop_oneof![Just(0u64), 0u64..2_000]), 1..8);
    (events, polls).prop_map(|(events, polls)| Load { events, polls })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever the rate and the waits: every event of every channel once, in order.
    #[test]
    fn pollers_lose_nothing_and_get_nothing_twice(load in loads()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let node = node(keeps_five()).await;
            let channels = ["thread.0", "thread.1", "thread.2"];
            let mut at = begin(&node, &channels).await;
            let mut published = BTreeMap::<String, u64>::new();
            for (to, _, _) in &load.events {
                *published.entry(format!("thread.{to}")).or_default() += 1;
            }
            let publishing = async {
                for (number, (to, priority, pause)) in (0..).zip(&load.events) {
                    let event = event(&format!("thread.{to}"), number).with_priority(*priority);
                    node.publish(event).await.unwrap();
                    if *pause > 0 {
                        sleep(Duration::from_millis(*pause)).await;
                    } else if number % 3 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            };
            let polling = async {
                let mut seen = BTreeMap::<String, u64>::new();
                for (wait, pause) in load.polls.iter().cycle() {
                    let wait = Duration::from_millis(*wait);
                    let (lines, polled) = poll(&node, "1", &channels, resuming(&at), wait).await.unwrap();
                    assert!(polled.recovered);
                    for line in lines {
                        let Line::Event { channel, offset, .. } = line else { panic!("{line:?}") };
                        let seen = seen.entry(channel).or_default();
                        *seen += 1;
                        assert_eq!(offset, Some(*seen));
                    }
                    at = cursor(&polled);
                    sleep(Duration::from_millis(*pause + 1)).await;
                    if seen == published {
                        return;
                    }
                }
            };
            let ended = timeout(Duration::from_secs(600), async { tokio::join!(publishing, polling) });
            assert!(Box::pin(ended).await.is_ok(), "events are missing");
            let (lines, _) = poll(&node, "1", &channels, resuming(&at), Duration::from_secs(30)).await.unwrap();
            assert_eq!(lines, []);
        });
    }
}
