//! When events leave their channel, in paused time.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod common;

use std::time::Duration;

use common::{Client, channel, event, node, numbers, offsets};
use fanfare::{Config, Event, Guarantee, Priority};
use proptest::prelude::*;
use tokio::time::{Instant, advance, timeout};

const MEDIUM: Duration = Duration::from_secs(2);
const LOW: Duration = Duration::from_secs(10);

async fn nothing(client: &mut Client) {
    assert!(
        timeout(Duration::from_millis(1), client.message())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn high_leaves_at_once() {
    let node = node(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let begun = Instant::now();
    node.publish(event("thread.1", 1).with_priority(Priority::High))
        .await
        .unwrap();
    assert_eq!(numbers(&client.message().await.unwrap()), [1]);
    assert!(begun.elapsed() < Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn medium_waits_for_company_within_its_window() {
    let node = node(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let begun = Instant::now();
    for number in 1..=3 {
        node.publish(event("thread.1", number)).await.unwrap();
        nothing(&mut client).await;
        advance(Duration::from_millis(500)).await;
    }
    assert_eq!(numbers(&client.message().await.unwrap()), [1, 2, 3]);
    assert!(
        begun.elapsed() > MEDIUM / 2 && begun.elapsed() < MEDIUM,
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn so_many_events_do_not_wait_for_more() {
    let mut config = Config::default();
    config.linger.events = Some(3);
    let node = node(config).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let begun = Instant::now();
    let low = |number| event("thread.1", number).with_priority(Priority::Low);
    for number in 1..=2 {
        node.publish(low(number)).await.unwrap();
        nothing(&mut client).await;
    }
    // One that takes the place of another makes none more.
    for number in 3..=4 {
        let status = event("thread.2", number).conflated_by("status");
        node.publish(status).await.unwrap();
    }
    node.publish(low(5)).await.unwrap();
    assert_eq!(numbers(&client.message().await.unwrap()), [1, 2, 5]);
    assert!(begun.elapsed() < Duration::from_millis(5));
    // Those that are fewer wait for their deadline.
    node.publish(low(6)).await.unwrap();
    assert_eq!(numbers(&client.message().await.unwrap()), [6]);
    assert!(begun.elapsed() > LOW / 2);
}

#[tokio::test(start_paused = true)]
async fn low_leaves_within_its_window() {
    let node = node(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let begun = Instant::now();
    node.publish(event("thread.1", 1).with_priority(Priority::Low))
        .await
        .unwrap();
    assert_eq!(numbers(&client.message().await.unwrap()), [1]);
    assert!(
        begun.elapsed() > LOW / 2 && begun.elapsed() < LOW,
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_more_urgent_event_takes_the_waiting_along() {
    let node = node(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    node.publish(event("thread.1", 1).with_priority(Priority::Low))
        .await
        .unwrap();
    node.publish(event("thread.1", 2)).await.unwrap();
    nothing(&mut client).await;
    node.publish(event("thread.1", 3).with_priority(Priority::High))
        .await
        .unwrap();
    assert_eq!(numbers(&client.message().await.unwrap()), [1, 2, 3]);
    node.publish(event("thread.1", 4).with_priority(Priority::Low))
        .await
        .unwrap();
    node.publish(event("thread.1", 5)).await.unwrap();
    let begun = Instant::now();
    assert_eq!(numbers(&client.message().await.unwrap()), [4, 5]);
    assert!(begun.elapsed() < MEDIUM);
    nothing(&mut client).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_key_only_the_newest_leaves() {
    let node = node(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    for (number, key) in [(1, "a"), (2, "b"), (3, "a"), (4, "a")] {
        node.publish(event("thread.1", number).conflated_by(key))
            .await
            .unwrap();
    }
    let message = client.message().await.unwrap();
    assert_eq!(numbers(&message), [2, 4]);
    assert_eq!(offsets(&message), [2, 4]);
}

#[tokio::test(start_paused = true)]
async fn ephemeral_events_have_no_position() {
    let node = node(Config::default()).await;
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    let typing = event("thread.1", 1)
        .with_priority(Priority::High)
        .with_guarantee(Guarantee::Ephemeral);
    let published = node.publish(typing).await.unwrap();
    assert_eq!(published.position, None);
    let message = client.message().await.unwrap();
    assert_eq!((numbers(&message), offsets(&message)), (vec![1], vec![]));
    let (remembered, top) = node
        .history(&channel("thread.1"), None, 10, false)
        .await
        .unwrap();
    assert!(remembered.is_empty());
    assert_eq!(top.offset, 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_joins_inside_the_window_gets_each_event_once() {
    let node = node(Config::default()).await;
    let mut first = Client::connected(&node, "1").await;
    first.subscribe("thread.1").await;
    node.publish(event("thread.1", 1).with_priority(Priority::High))
        .await
        .unwrap();
    first.message().await.unwrap();
    node.publish(event("thread.1", 2)).await.unwrap();
    let mut second = Client::connected(&node, "2").await;
    let joined = second.subscribe("thread.1").await;
    assert_eq!(
        joined["offset"], 1,
        "what waits has not been shown to anyone"
    );
    assert_eq!(numbers(&first.message().await.unwrap()), [2]);
    assert_eq!(numbers(&second.message().await.unwrap()), [2]);
    let (remembered, _) = node
        .history(&channel("thread.1"), None, 10, false)
        .await
        .unwrap();
    assert_eq!(remembered.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_channels_do_not_flush_in_one_moment() {
    let mut config = Config::default();
    config.limits.subscriptions = 1_000;
    let node = node(config).await;
    let mut client = Client::connected(&node, "1").await;
    for at in 0..500 {
        client.subscribe(&format!("thread.{at}")).await;
    }
    for at in 0..500 {
        node.publish(event(&format!("thread.{at}"), 1))
            .await
            .unwrap();
    }
    let begun = Instant::now();
    let mut moments = std::collections::BTreeMap::new();
    let mut seen = 0;
    while seen < 500 {
        seen += numbers(&client.message().await.unwrap()).len();
        *moments.entry(begun.elapsed().as_millis()).or_insert(0) += 1;
    }
    assert!(moments.len() > 50, "{moments:?}");
    assert!(begun.elapsed() < MEDIUM);
}

#[derive(Clone, Debug)]
enum Step {
    Publish { channel: u8, priority: Priority },
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u8..3, prop::sample::select(Priority::ALL.to_vec()))
            .prop_map(|(channel, priority)| Step::Publish { channel, priority }),
        1 => (0u64..3_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every event arrives once, in its channel's order, no later than its own deadline, and no
    /// event of its channel that was published before it arrives after it.
    #[test]
    fn order_and_deadlines_hold(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let node = node(Config::default()).await;
            let mut client = Client::connected(&node, "1").await;
            for at in 0..3 {
                client.subscribe(&format!("thread.{at}")).await;
            }
            let begun = Instant::now();
            let publishing = async {
                let mut published = Vec::new();
                for step in &steps {
                    match step {
                        Step::Publish { channel: at, priority } => {
                            let number = published.len() as u64;
                            let event = Event::new(channel(&format!("thread.{at}")), "e", number.to_string()).unwrap();
                            node.publish(event.with_priority(*priority)).await.unwrap();
                            published.push((*at, *priority, begun.elapsed()));
                        }
                        Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(*millis)).await,
                    }
                }
                published
            };
            let reading = async {
                let mut arrived = Vec::new();
                // Longer than any window: nothing can come after that.
                while let Ok(message) = timeout(LOW * 2, client.message()).await {
                    for line in message.unwrap() {
                        let number = line.pointer("/push/pub/data").unwrap().as_u64().unwrap();
                        arrived.push((number as usize, begun.elapsed()));
                    }
                }
                arrived
            };
            let (published, arrived) = tokio::join!(publishing, reading);
            assert_eq!(arrived.len(), published.len());
            for at in 0..3 {
                let numbers = arrived.iter().map(|(number, _)| *number).filter(|number| published[*number].0 == at);
                assert!(numbers.is_sorted(), "{arrived:?}");
            }
            for (number, arrived) in arrived {
                let (_, priority, published) = published[number];
                let most = match priority {
                    Priority::High => Duration::from_millis(2),
                    Priority::Medium => MEDIUM,
                    Priority::Low => LOW,
                };
                assert!(arrived - published <= most, "{number} took {:?}", arrived - published);
            }
        });
    }
}
