//! What a node notices, told to whoever listens.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

mod bus;
mod common;

use std::time::Duration;

use bus::Bus;
use common::{Client, builder, event, node};
use fanfare::catalog::{Catalog, Envelope, TypedEvent};
use fanfare::config::Rate;
use fanfare::notice::{ConnectionScope, Notice, Notices, RateScope, RateUse};
use fanfare::{Channel, Config, Disconnect, ErrorKind, Node, Priority};
use garde::Validate;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

#[derive(Deserialize, JsonSchema, Validate)]
struct Typing {}

impl TypedEvent for Typing {
    const NAME: &'static str = "typing";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = &["thread.{id}"];
    const FROM_CLIENTS: bool = true;
}

async fn with_rates(change: impl FnOnce(&mut Config)) -> Node {
    let mut config = Config::default();
    config.limits.events_per_user = None;
    config.limits.events_per_channel = None;
    config.limits.events_per_node = None;
    change(&mut config);
    let envelope = Envelope::new("event", "data").takes_channel("channel");
    let catalog = Catalog::new(envelope, &["thread.{id}"], |_| true).with::<Typing>();
    builder(config).catalog(catalog).start().await.unwrap()
}

async fn publish(client: &mut Client, thread: u64) -> Value {
    let data = json!({"event": "typing", "data": {}});
    let channel = format!("thread.{thread}");
    client
        .command(json!({"publish": {"channel": channel, "data": data}}))
        .await
}

async fn told(notices: &mut Notices) -> Notice {
    let notice = timeout(SOON, notices.recv()).await.expect("a notice");
    notice.unwrap()
}

async fn assert_silent(notices: &mut Notices) {
    let notice = timeout(Duration::from_millis(1), notices.recv()).await;
    assert!(notice.is_err(), "{notice:?}");
}

/// A bucket that does not refill while a test runs.
fn of(events: u32) -> Option<Rate> {
    Some(Rate {
        events,
        per: Duration::from_secs(24 * 60 * 60),
    })
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_told_of_at_four_fifths_and_when_it_is_used_up() {
    let node = with_rates(|config| config.limits.events_per_user = of(10)).await;
    let mut notices = node.notices();
    let mut one = Client::connected(&node, "1").await;
    let mut same = Client::connected(&node, "1").await;
    for _ in 0..7 {
        assert_eq!(publish(&mut one, 1).await["publish"], json!({}));
    }
    assert_silent(&mut notices).await;
    publish(&mut same, 2).await;
    let expected = |used| {
        move |usage: &RateUse| {
            usage.scope == RateScope::User("1".into())
                && (usage.used, usage.limit) == (used, 10)
                && usage.period == Duration::from_secs(24 * 60 * 60)
        }
    };
    let notice = told(&mut notices).await;
    assert!(
        matches!(&notice, Notice::RateNearlyUsed(usage) if expected(8)(usage)),
        "{notice:?}"
    );
    publish(&mut one, 1).await;
    assert_silent(&mut notices).await;
    publish(&mut one, 1).await;
    let notice = told(&mut notices).await;
    assert!(
        matches!(&notice, Notice::RateUsedUp(usage) if expected(10)(usage)),
        "{notice:?}"
    );
    for _ in 0..5 {
        assert_eq!(publish(&mut one, 1).await["error"]["code"], 111);
    }
    assert_silent(&mut notices).await;
    let mut other = Client::connected(&node, "2").await;
    publish(&mut other, 1).await;
    assert_silent(&mut notices).await;
}

#[tokio::test(start_paused = true)]
async fn who_begins_to_listen_late_is_told_of_a_refusal() {
    let node = with_rates(|config| config.limits.events_per_session = of(1)).await;
    let mut client = Client::connected(&node, "1").await;
    publish(&mut client, 1).await;
    let mut notices = node.notices();
    assert_eq!(publish(&mut client, 1).await["error"]["code"], 111);
    let notice = told(&mut notices).await;
    let Notice::RateUsedUp(usage) = &notice else {
        panic!("{notice:?}")
    };
    assert_eq!((usage.used, usage.limit), (1, 1));
    assert!(matches!(&usage.scope, RateScope::Session { user, .. } if &**user == "1"));
}

#[tokio::test(start_paused = true)]
async fn channels_and_the_node_have_rates_too() {
    let node = with_rates(|config| {
        config.limits.events_per_channel = of(5);
        config.limits.events_per_node = of(10);
    })
    .await;
    let mut notices = node.notices();
    let mut client = Client::connected(&node, "1").await;
    for _ in 0..4 {
        publish(&mut client, 1).await;
    }
    let first = Channel::new("thread.1").unwrap();
    let notice = told(&mut notices).await;
    assert!(
        matches!(&notice, Notice::RateNearlyUsed(usage) if usage.scope == RateScope::Channel(first)),
        "{notice:?}"
    );
    for _ in 0..4 {
        publish(&mut client, 2).await;
    }
    told(&mut notices).await;
    let notice = told(&mut notices).await;
    assert!(
        matches!(&notice, Notice::RateNearlyUsed(usage) if usage.scope == RateScope::Node && usage.used == 8),
        "{notice:?}"
    );
    // What the server publishes counts towards none of them.
    for number in 0..100 {
        node.publish(event("thread.1", number)).await.unwrap();
    }
    assert_silent(&mut notices).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_told_of() {
    let mut config = Config::default();
    config.limits.connections_per_user = 1;
    config.limits.connections = 2;
    let node = node(config).await;
    let mut notices = node.notices();
    let _first = Client::connected(&node, "1").await;
    assert_silent(&mut notices).await;
    let refused = |user: &str, scope, limit| Notice::ConnectionRefused {
        user: Some(user.into()),
        scope,
        limit,
    };
    let connect = |user: &str| json!({"id": 1, "connect": {"token": user}}).to_string();
    let mut second = Client::open(&node);
    let outcome = second.session.receive(connect("1").as_bytes()).await;
    assert_eq!(outcome, Err(Disconnect::CONNECTION_LIMIT));
    assert_eq!(
        told(&mut notices).await,
        refused("1", ConnectionScope::User, 1)
    );
    let error = node.has_room_for("1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert_eq!(
        told(&mut notices).await,
        refused("1", ConnectionScope::User, 1)
    );
    let _other = Client::connected(&node, "2").await;
    let mut third = Client::open(&node);
    let outcome = third.session.receive(connect("3").as_bytes()).await;
    assert_eq!(outcome, Err(Disconnect::CONNECTION_LIMIT));
    assert_eq!(
        told(&mut notices).await,
        refused("3", ConnectionScope::Node, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_told_of() {
    let mut config = Config::default();
    config.limits.envelope = 4 << 10;
    config.buffers.flush = 4 << 10;
    config.buffers.outbox = 8 << 10;
    let node = node(config).await;
    let mut notices = node.notices();
    let mut client = Client::connected(&node, "1").await;
    client.subscribe("thread.1").await;
    for number in 0..1_000 {
        node.publish(event("thread.1", number).with_priority(Priority::High))
            .await
            .unwrap();
    }
    let notice = told(&mut notices).await;
    let Notice::SlowConsumer {
        user,
        client: id,
        transport,
        events,
    } = notice
    else {
        panic!("{notice:?}")
    };
    assert_eq!((user.as_deref(), transport), (Some("1"), "test"));
    assert_eq!(id.len(), 36);
    assert!(events > 10, "{events}");
    assert_eq!(client.outbound.closing().await, Disconnect::SLOW);
    assert_silent(&mut notices).await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_goes_and_comes_is_told_of() {
    let bus = Bus::default();
    let node = builder(Config::default())
        .broker(bus.attach("a"))
        .start()
        .await
        .unwrap();
    let mut notices = node.notices();
    assert_silent(&mut notices).await;
    bus.set_down("a", true);
    let lost = told(&mut notices).await;
    assert!(matches!(lost, Notice::BrokerLost { .. }), "{lost:?}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_silent(&mut notices).await;
    bus.set_down("a", false);
    let back = told(&mut notices).await;
    assert!(matches!(back, Notice::BrokerBack { .. }), "{back:?}");
    drop(node);
    assert_eq!(notices.recv().await, None, "the node has ended");
}
