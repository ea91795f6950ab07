//! From a queue of RabbitMQ to channels.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfare::catalog::{Envelope, EnvelopeFields, TypedEvent};
use fanfare::{Catalog, Channel, Node, Priority};
use fanfare_brokers::services::rabbitmq::{RabbitMq, Topology};
use fanfare_brokers::services::{
    BreakerState, Consumer, Dead, Engine, Ingest, Record, RetryPolicy, Subscription,
};
use fanfare_test_servers::RabbitMq as Server;
use tokio::time::{Instant, sleep};

#[derive(serde::Deserialize, schemars::JsonSchema, garde::Validate)]
struct Completed {
    #[garde(range(min = 1))]
    user: u64,
    #[garde(length(min = 1))]
    name: String,
    #[garde(skip)]
    #[serde(default)]
    #[allow(dead_code, reason = "checked, never read")]
    points: u64,
}

impl TypedEvent for Completed {
    const NAME: &'static str = "quest.completed";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = &["user.{id}"];

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.user.to_string())
    }
}

fn ingest(node: &Node) -> Ingest {
    let envelope = Envelope::new("type", "data")
        .channel("channel")
        .priority("priority");
    let is_number = |id: &str| id.parse::<u64>().is_ok();
    let catalog = Catalog::new(envelope, &["user.{id}"], is_number).with::<Completed>();
    Ingest::new(node.clone(), Arc::new(catalog))
}

fn group() -> Subscription {
    Subscription {
        topic: "quest.*".to_owned(),
        group: "quest_events".to_owned(),
        prefetch: 20,
    }
}

async fn publish(engine: &Arc<dyn Engine>, id: &str, payload: &str) {
    let record = Record {
        topic: "quest.completed".to_owned(),
        key: String::new(),
        id: id.to_owned(),
        payload: Bytes::from(payload.to_owned()),
    };
    engine.publish(record).await.unwrap();
}

/// What a channel has shown, once there is something.
async fn shown(node: &Node, channel: &str) -> Vec<Bytes> {
    let channel = Channel::new(channel).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (shown, _) = node.history(&channel, None, 100, false).await.unwrap();
        if !shown.is_empty() || Instant::now() > deadline {
            let payloads = shown
                .iter()
                .map(|publication| publication.event().payload());
            return payloads.cloned().collect();
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn dead(engine: &Arc<dyn Engine>, count: usize) -> Vec<Dead> {
    let mut letters = engine.dead_letters(&group()).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let dead = letters.list(100).await.unwrap();
        if dead.len() >= count || Instant::now() > deadline {
            return dead;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_to_a_queue_reaches_its_channel() {
    let server = Server::start().await;
    let topology = Topology::gamification();
    let engine: Arc<dyn Engine> =
        Arc::new(RabbitMq::connect(&server.url(), topology).await.unwrap());
    let node = Node::builder().start().await.unwrap();
    let consumer = Consumer::new(engine.clone(), group(), ingest(&node));
    let running = consumer.retry(RetryPolicy::NEVER).start().await.unwrap();

    let good = r#"{"type":"quest.completed","data":{"user":456,"name":"First blood"}}"#;
    publish(&engine, "good", good).await;
    let unreadable = [
        ("none", "not JSON"),
        ("array", "[]"),
        ("unknown", r#"{"type":"quest.begun","data":{}}"#),
        (
            "wrong",
            r#"{"type":"quest.completed","data":{"user":0,"name":"","points":"many"}}"#,
        ),
        (
            "bounds",
            r#"{"type":"quest.completed","data":{"user":0,"name":""}}"#,
        ),
    ];
    for (id, payload) in unreadable {
        publish(&engine, id, payload).await;
    }
    let shown = shown(&node, "user.456").await;
    assert_eq!(shown.len(), 1);
    assert!(
        shown[0].starts_with(good.trim_end_matches('}').as_bytes()),
        "{shown:?}"
    );

    let mut dead = dead(&engine, unreadable.len()).await;
    dead.sort_by(|one, other| one.record.id.cmp(&other.record.id));
    let reasons = dead.iter().map(|dead| {
        assert_eq!(dead.failures.len(), 1, "no second try: {dead:?}");
        (&*dead.record.id, &*dead.failures[0].reason)
    });
    let reasons = reasons.collect::<Vec<_>>();
    let ids = reasons.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!(ids, ["array", "bounds", "none", "unknown", "wrong"]);
    assert!(reasons[0].1.contains("one envelope"), "{reasons:?}");
    for path in ["data.user: ", "data.name: "] {
        assert!(reasons[1].1.contains(path), "{reasons:?}");
    }
    assert!(reasons[2].1.contains("not JSON"), "{reasons:?}");
    assert!(reasons[3].1.starts_with("type: "), "{reasons:?}");
    assert!(reasons[4].1.starts_with("data.points: "), "{reasons:?}");
    running.stop().await;
    node.drain().await;
}

/// A node that cannot publish now is no reason to give up a record, though it may not fail once.
#[tokio::test(flavor = "multi_thread")]
async fn records_wait_for_a_node_that_can_publish() {
    let server = Server::start().await;
    let topology = Topology::gamification();
    let engine: Arc<dyn Engine> =
        Arc::new(RabbitMq::connect(&server.url(), topology).await.unwrap());
    let draining = Node::builder().start().await.unwrap();
    draining.drain().await;
    let consumer = Consumer::new(engine.clone(), group(), ingest(&draining));
    let running = consumer.retry(RetryPolicy::NEVER).start().await.unwrap();
    publish(
        &engine,
        "1",
        r#"{"type":"quest.completed","data":{"user":7,"name":"Patience"}}"#,
    )
    .await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while running.breaker() != BreakerState::Open && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(running.breaker(), BreakerState::Open);
    running.stop().await;

    let node = Node::builder().start().await.unwrap();
    let consumer = Consumer::new(engine.clone(), group(), ingest(&node));
    let running = consumer.retry(RetryPolicy::NEVER).start().await.unwrap();
    assert_eq!(shown(&node, "user.7").await.len(), 1);
    running.stop().await;
    let mut letters = engine.dead_letters(&group()).await.unwrap();
    assert!(letters.list(10).await.unwrap().is_empty());
    node.drain().await;
}
