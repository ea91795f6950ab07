//! Events that need a role reach those who have it, and nobody else, in whatever way; in paused time.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod bus;
mod common;
mod lines;
mod roles;

use std::time::Duration;

use bus::Bus;
use common::{Client, channel, numbers as pushed};
use fanfare::codec::Connect;
use fanfare::{Config, Guarantee, Node, Priority};
use lines::{Line, LineClient, Lines, PolledLines, last_cursor, numbers, opening, resuming};
use proptest::prelude::*;
use roles::{EVENTS, event, high, identity, may_see, node};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

const MOMENT: Duration = Duration::from_millis(1);
const NONE: Duration = Duration::ZERO;

/// One who asks with the roles of a token.
async fn poll(
    node: &Node,
    token: &str,
    channels: &[&str],
    connect: Connect,
    wait: Duration,
) -> (Vec<u64>, fanfare::Polled) {
    let mut opening = opening("1", channels, PolledLines);
    opening.identity = Some(identity(token));
    let session = node.open(opening).unwrap();
    let polled = session.poll(connect, wait).await.unwrap();
    (numbers(&lines::read_lines(&polled.events)), polled)
}

async fn follow(node: &Node, token: &str, channels: &[&str], connect: Connect) -> LineClient {
    let mut opening = opening("1", channels, Lines { pongs: false });
    opening.identity = Some(identity(token));
    LineClient::connect(node, opening, connect).await.unwrap()
}

async fn publish_each(node: &Node, first: u64) {
    for (number, (name, _)) in (first..).zip(EVENTS) {
        node.publish(event("session", name, number)).await.unwrap();
    }
}

fn payloads(publications: &Value) -> Vec<u64> {
    let publications = publications.as_array().unwrap().iter();
    publications.map(|p| p["data"].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn one_flush_is_for_each_what_its_roles_let_through() {
    let node = node(Config::default()).await;
    let mut clients = Vec::new();
    for (token, expected) in [
        ("1/coach", vec![0, 1, 2, 4]),
        ("2/athlete", vec![0, 1, 3]),
        ("3/parent", vec![0, 1, 3, 4]),
        ("4/athlete/coach", vec![0, 1, 2, 3, 4]),
        ("5", vec![0]),
        ("6/admin/Coach", vec![0]),
    ] {
        let mut client = Client::connected(&node, token).await;
        client.subscribe("session").await;
        clients.push((client, token, expected));
    }
    publish_each(&node, 0).await;
    for (client, token, expected) in &mut clients {
        let message = client.message().await.unwrap();
        assert_eq!(pushed(&message), *expected, "{token}");
        let offsets = expected.iter().map(|number| number + 1).collect::<Vec<_>>();
        assert_eq!(common::offsets(&message), offsets, "{token}");
    }
    let session = channel("session");
    let (all, _) = node
        .history(&session, None, usize::MAX, false)
        .await
        .unwrap();
    assert_eq!(all.len(), 5, "the server sees all");
}

#[tokio::test(start_paused = true)]
async fn what_is_hidden_is_neither_written_nor_waited_for() {
    let node = node(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("session").await;
    for number in 0..10 {
        high(&node, "session", "plan", number).await;
    }
    let ephemeral = event("session", "plan", 10)
        .with_priority(Priority::High)
        .with_guarantee(Guarantee::Ephemeral);
    node.publish(ephemeral).await.unwrap();
    let silence = timeout(Duration::from_secs(5), client.message()).await;
    assert!(silence.is_err(), "{silence:?}");
    assert_eq!(client.outbound.queued(), 0);
    high(&node, "session", "open", 11).await;
    let message = client.message().await.unwrap();
    assert_eq!(
        (pushed(&message), common::offsets(&message)),
        (vec![11], vec![11])
    );
}

#[tokio::test(start_paused = true)]
async fn history_is_read_by_role_and_limits_count_what_is_visible() {
    let node = node(Config::default()).await;
    let mut client = Client::connected(&node, "1/athlete").await;
    client.subscribe("session").await;
    for first in [0, 5, 10] {
        publish_each(&node, first).await;
    }
    sleep(Duration::from_secs(3)).await;
    client.message().await.unwrap();
    let mut read = async |extra: Value| {
        let mut history = json!({"channel": "session"});
        history
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let reply = client.command(json!({ "history": history })).await;
        payloads(&reply["history"]["publications"])
    };
    assert_eq!(
        read(json!({"limit": -1})).await,
        [0, 1, 3, 5, 6, 8, 10, 11, 13]
    );
    assert_eq!(read(json!({"limit": 4})).await, [0, 1, 3, 5]);
    let reverse = json!({"limit": 2, "reverse": true});
    assert_eq!(read(reverse).await, [13, 11]);
    let since = json!({"limit": 2, "since": {"offset": 4, "epoch": ""}});
    assert_eq!(read(since).await, [5, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_client_recovers_what_it_may_see() {
    let node = node(Config::default()).await;
    let mut client = Client::connected(&node, "1/parent").await;
    publish_each(&node, 0).await;
    sleep(Duration::from_secs(3)).await;
    let recover = |offset: u64| json!({"subscribe": {"channel": "session", "recover": true, "epoch": "", "offset": offset}});
    let reply = client.command(recover(1)).await;
    let subscribed = &reply["subscribe"];
    assert_eq!(subscribed["recovered"], true);
    assert_eq!(payloads(&subscribed["publications"]), [1, 3, 4]);
    // Hidden events alone: nothing is missing, and the position is behind them.
    let mut other = Client::connected(&node, "2").await;
    let reply = other.command(recover(1)).await;
    let subscribed = &reply["subscribe"];
    assert_eq!(subscribed["recovered"], true);
    assert_eq!(subscribed.get("publications"), None);
    assert_eq!(subscribed["offset"], 5);
}

#[tokio::test(start_paused = true)]
async fn a_poll_goes_on_past_what_is_hidden_without_an_answer() {
    let node = node(Config::default()).await;
    let (_, begun) = poll(&node, "1", &["session"], Connect::default(), NONE).await;
    for number in 0..3_000 {
        high(&node, "session", "plan", number).await;
        if number == 2_400 {
            high(&node, "session", "open", 9_000).await;
        }
    }
    let mut at = begun.cursor.to_string();
    let (found, polled) = poll(&node, "1", &["session"], resuming(&at), NONE).await;
    assert_eq!(found, [9_000]);
    at = polled.cursor.to_string();
    let top = polled.cursor.position(&channel("session")).unwrap();
    assert_eq!(top.offset, 3_001, "behind all that is hidden");
    // While it waits, hidden events end nothing, and move its cursor.
    let asked = Instant::now();
    let publishing = async {
        sleep(Duration::from_secs(2)).await;
        high(&node, "session", "plan", 1).await;
        sleep(Duration::from_secs(2)).await;
        high(&node, "session", "plan", 2).await;
    };
    let wait = Duration::from_secs(10);
    let asking = poll(&node, "1", &["session"], resuming(&at), wait);
    let ((found, polled), ()) = tokio::join!(asking, publishing);
    assert_eq!(found, [0; 0]);
    assert!(asked.elapsed() >= wait);
    let top = polled.cursor.position(&channel("session")).unwrap();
    assert_eq!(top.offset, 3_003);
    // One that may see them has its answer at once, in pages.
    let (found, _) = poll(&node, "2/coach", &["session"], resuming(&at), wait).await;
    assert_eq!(found, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_moves_past_what_is_hidden() {
    let node = node(Config::default()).await;
    let channels = ["session", "video"];
    let mut client = follow(&node, "1/athlete", &channels, Connect::default()).await;
    client.lines(MOMENT).await;
    for number in 0..10 {
        high(&node, "session", "plan", number).await;
    }
    sleep(MOMENT).await;
    high(&node, "video", "score", 10).await;
    let (lines, _) = client.lines(MOMENT).await;
    assert_eq!(numbers(&lines), [10]);
    let resume = last_cursor(&lines)
        .unwrap()
        .parse::<fanfare::Resume>()
        .unwrap();
    assert_eq!(resume.position(&channel("session")).unwrap().offset, 10);
    assert_eq!(resume.position(&channel("video")).unwrap().offset, 1);
    // What comes while it does not read stands in one place for each channel.
    for number in 0..1_000 {
        high(&node, "session", "score", 100 + number).await;
        high(&node, "session", "plan", number).await;
        high(&node, "video", "plan", number).await;
    }
    let (lines, ended) = client.lines(MOMENT).await;
    assert_eq!(numbers(&lines), (100..1_100).collect::<Vec<_>>());
    assert_eq!(ended, None);
    let cursor = client.outbound.cursor().unwrap();
    assert_eq!(cursor.position(&channel("session")).unwrap().offset, 2_010);
    assert_eq!(cursor.position(&channel("video")).unwrap().offset, 1_001);
}

#[tokio::test(start_paused = true)]
async fn newer_roles_count_from_then_on() {
    let node = node(Config::default()).await;
    let mut client = Client::connected(&node, "1/athlete").await;
    client.subscribe("session").await;
    high(&node, "session", "plan", 1).await;
    high(&node, "session", "score", 2).await;
    assert_eq!(pushed(&client.message().await.unwrap()), [2]);
    let refresh = |token: &str| json!({"refresh": {"token": token}});
    client.command(refresh("1/coach")).await;
    high(&node, "session", "score", 3).await;
    high(&node, "session", "plan", 4).await;
    assert_eq!(pushed(&client.message().await.unwrap()), [4]);
    client.command(refresh("1")).await;
    high(&node, "session", "plan", 5).await;
    high(&node, "session", "open", 6).await;
    assert_eq!(pushed(&client.message().await.unwrap()), [6]);
}

/// Best-effort events are given up for a reader that is behind; what is hidden from it was never in
/// its queue, neither as a frame nor as a loss.
#[tokio::test(start_paused = true)]
async fn relief_of_a_slow_reader_brings_nothing_hidden() {
    let mut config = Config::default();
    // The first ping comes at a random moment, and nobody reads for minutes.
    config.heartbeat.ping = Duration::from_secs(1_000_000_000);
    config.limits.envelope = 4 << 10;
    config.buffers.flush = 4 << 10;
    config.buffers.outbox = 8 << 10;
    let node = node(config).await;
    let mut client = Client::connected(&node, "1/athlete").await;
    client.subscribe("session").await;
    let mut visible = Vec::new();
    for number in 0..2_000 {
        let (name, _) = EVENTS[number as usize % EVENTS.len()];
        let event = event("session", name, number);
        let event = match number % 7 {
            0..3 => event.conflated_by(&format!("{name}|{}", number % 3)),
            _ => event.with_guarantee(Guarantee::BestEffort),
        };
        node.publish(event.with_priority(Priority::Medium))
            .await
            .unwrap();
        if may_see(&["athlete"], name) {
            visible.push(number);
        }
        if number % 10 == 0 {
            sleep(Duration::from_secs(2)).await;
        }
    }
    sleep(Duration::from_secs(3)).await;
    let mut seen = Vec::new();
    let mut lost = 0;
    while let Ok(message) = timeout(Duration::from_secs(1), client.message()).await {
        let message = message.unwrap();
        seen.extend(pushed(&message));
        let counts = message.iter();
        let counts = counts.filter_map(|line| line.pointer("/push/message/data/count")?.as_u64());
        lost += counts.sum::<u64>();
    }
    assert!(lost > 0 && seen.is_sorted_by(|a, b| a < b));
    assert!(
        seen.iter().all(|number| visible.contains(number)),
        "{seen:?}"
    );
    let best_effort = visible.iter().filter(|number| *number % 7 >= 3).count() as u64;
    let seen_best_effort = seen.iter().filter(|number| *number % 7 >= 3).count() as u64;
    assert_eq!(seen_best_effort + lost, best_effort);
}

/// Where a log numbers, offsets have holes as well, and positions are good on every node.
#[tokio::test(start_paused = true)]
async fn a_position_is_good_on_another_node_past_what_is_hidden() {
    let bus = Bus::default();
    let start = async || {
        let node = roles::builder(Config::default()).broker(bus.attach("a"));
        node.start().await.unwrap()
    };
    let (first, second) = (start().await, start().await);
    let athlete = "1/athlete";
    let (_, begun) = poll(&first, athlete, &["session"], Connect::default(), NONE).await;
    let mut client = Client::connected(&first, athlete).await;
    let subscribed = client.subscribe("session").await;
    for number in 0..30 {
        let (name, _) = EVENTS[number as usize % EVENTS.len()];
        high(&first, "session", name, number).await;
        high(&first, "video", name, number).await;
    }
    let visible = |from: u64| {
        let numbers = (from..30).filter(|n| may_see(&["athlete"], EVENTS[*n as usize % 5].0));
        numbers.collect::<Vec<_>>()
    };
    let mut seen = Vec::new();
    while seen.len() < visible(0).len() {
        seen.extend(pushed(&client.message().await.unwrap()));
    }
    assert_eq!(seen, visible(0));
    let at = begun.cursor.to_string();
    let (found, polled) = poll(&second, athlete, &["session"], resuming(&at), NONE).await;
    assert_eq!(found, visible(0));
    let mut elsewhere = Client::connected(&second, athlete).await;
    let recover = json!({
        "channel": "session", "recover": true,
        "epoch": subscribed["epoch"], "offset": subscribed["offset"],
    });
    let reply = elsewhere.command(json!({ "subscribe": recover })).await;
    assert_eq!(reply["subscribe"]["recovered"], true);
    assert_eq!(payloads(&reply["subscribe"]["publications"]), visible(0));
    // The last ones are hidden; nothing is left for one who comes with that cursor.
    let at = polled.cursor.to_string();
    let (found, again) = poll(&first, athlete, &["session"], resuming(&at), NONE).await;
    assert_eq!(found, [0; 0]);
    assert!(again.recovered);
    assert_eq!(again.cursor, polled.cursor);
}

#[derive(Clone, Debug)]
enum Step {
    Publish {
        channel: usize,
        event: usize,
        priority: Priority,
    },
    Wait {
        milliseconds: u64,
    },
    Connect {
        reader: usize,
    },
    Cut {
        reader: usize,
        unread: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let priority = prop_oneof![
        1 => Just(Priority::High),
        4 => Just(Priority::Medium),
        1 => Just(Priority::Low),
    ];
    prop_oneof![
        6 => (0..2usize, 0..EVENTS.len(), priority)
            .prop_map(|(channel, event, priority)| Step::Publish { channel, event, priority }),
        2 => (1..4_000u64).prop_map(|milliseconds| Step::Wait { milliseconds }),
        2 => (0..READERS).prop_map(|reader| Step::Connect { reader }),
        1 => (0..READERS, any::<bool>()).prop_map(|(reader, unread)| Step::Cut { reader, unread }),
    ]
}

const CHANNELS: [&str; 2] = ["session", "video"];
const READERS: usize = 6;
const TOKENS: [&str; 5] = ["1/coach", "2/athlete", "3/parent", "4", "5/athlete/coach"];

/// A client that follows, or polls instead of following, and resumes with its cursor.
struct Reader {
    token: &'static str,
    polls: bool,
    cursor: String,
    client: Option<LineClient>,
    seen: [Vec<u64>; 2],
}

impl Reader {
    fn take(&mut self, lines: &[Line]) {
        for line in lines {
            if let Line::Event {
                channel, number, ..
            } = line
            {
                let at = CHANNELS.iter().position(|known| known == channel).unwrap();
                self.seen[at].push(*number);
            }
        }
        if let Some(cursor) = last_cursor(lines) {
            self.cursor = cursor;
        }
    }

    async fn connect(&mut self, node: &Node) {
        if self.polls {
            let mut opening = opening("1", &CHANNELS, PolledLines);
            opening.identity = Some(identity(self.token));
            let session = node.open(opening).unwrap();
            let polling = session.poll(resuming(&self.cursor), Duration::from_secs(1));
            let polled = polling.await.unwrap();
            assert!(polled.recovered);
            self.take(&lines::read_lines(&polled.events));
            self.cursor = polled.cursor.to_string();
        } else if self.client.is_none() {
            self.client = Some(follow(node, self.token, &CHANNELS, resuming(&self.cursor)).await);
        }
    }

    async fn cut(&mut self, unread: bool) {
        if let Some(mut client) = self.client.take()
            && !unread
        {
            let (lines, ended) = client.lines(MOMENT).await;
            assert_eq!(ended, None);
            self.take(&lines);
        }
    }
}

async fn each_sees_what_it_may(tokens: Vec<(usize, bool)>, steps: Vec<Step>) {
    let node = node(Config::default()).await;
    let (_, begun) = poll(&node, "0", &CHANNELS, Connect::default(), NONE).await;
    let readers = tokens.into_iter().map(|(token, polls)| Reader {
        token: TOKENS[token],
        polls,
        cursor: begun.cursor.to_string(),
        client: None,
        seen: Default::default(),
    });
    let mut readers = readers.collect::<Vec<_>>();
    let mut published = [Vec::new(), Vec::new()];
    for (number, step) in (0..).zip(steps) {
        match step {
            Step::Publish {
                channel,
                event: at,
                priority,
            } => {
                let (name, _) = EVENTS[at];
                let event = event(CHANNELS[channel], name, number).with_priority(priority);
                node.publish(event).await.unwrap();
                published[channel].push((name, number));
            }
            Step::Wait { milliseconds } => sleep(Duration::from_millis(milliseconds)).await,
            Step::Connect { reader } => Box::pin(readers[reader].connect(&node)).await,
            Step::Cut { reader, unread } => readers[reader].cut(unread).await,
        }
    }
    sleep(Duration::from_secs(11)).await;
    for reader in &mut readers {
        reader.cut(false).await;
        Box::pin(reader.connect(&node)).await;
        reader.cut(false).await;
        let roles = reader.token.split('/').skip(1).collect::<Vec<_>>();
        for (seen, published) in reader.seen.iter().zip(&published) {
            let visible = published.iter().filter(|(name, _)| may_see(&roles, name));
            let visible = visible.map(|(_, number)| *number).collect::<Vec<_>>();
            assert_eq!(*seen, visible, "{} {}", reader.token, reader.polls);
        }
        if reader.polls {
            for (name, published) in CHANNELS.iter().zip(&published) {
                let resume = reader.cursor.parse::<fanfare::Resume>().unwrap();
                let at = resume.position(&channel(name)).unwrap();
                assert_eq!(at.offset, published.len() as u64, "behind what is hidden");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is flushed together, whoever is cut or polls: each gets what its roles let through,
    /// each once, in order.
    #[test]
    fn each_gets_exactly_what_it_may(
        tokens in prop::collection::vec((0..TOKENS.len(), any::<bool>()), READERS),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(each_sees_what_it_may(tokens, steps));
    }
}
