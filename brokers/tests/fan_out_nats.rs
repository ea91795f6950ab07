//! Core NATS against a real server.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod shared;

use std::time::{Duration, Instant};

use fanfare::broker::Broker;
use fanfare::testing::broker::{Plan, Recorder, check_all, check_outage};
use fanfare::{BrokerErrorKind, Channel, Event, Guarantee, Stamp};
use fanfare_brokers::fan_out::nats::{Config, Nats};
use fanfare_test_servers::Nats as Server;

use shared::{Gate, Outage, event, numbers, sentence, started, until};

fn broker(url: &str, cluster: &str) -> Nats {
    let url = format!("{url}?cluster={cluster}");
    Nats::new(url.parse::<Config>().unwrap()).unwrap()
}

fn channel() -> Vec<Channel> {
    vec![Channel::new("thread.1").unwrap()]
}

/// An event that its node sends again until it is accepted.
async fn publish_again(broker: &Nats, event: &Event) -> u64 {
    let began = Instant::now();
    let mut tries = 1;
    while let Err(error) = broker.publish(event.clone()).await {
        assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
        assert!(began.elapsed() < Duration::from_secs(10), "{error:?}");
        tries += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tries
}

fn stamped(number: u64, origin: u64) -> Event {
    event(number).stamped(Stamp {
        origin,
        number,
        settled: number - 1,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let server = Server::shared().await;
    check_all(
        async |cluster: &str| broker(&server.url(), cluster),
        &Plan::default(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_an_outage() {
    let server = Server::start().await;
    let url = server.url();
    let server = Outage::of(server);
    let away = Duration::from_secs(3);
    check_outage(
        async |cluster: &str| broker(&url, cluster),
        &server,
        away,
        &Plan::default(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_is_away() {
    let mut server = Server::start().await;
    let (one, _) = started(broker(&server.url(), "still")).await;
    let (other, seen) = started(broker(&server.url(), "still")).await;
    other.subscribe(channel()).await.unwrap();
    one.publish(stamped(1, 1)).await.unwrap();
    server.pause();
    // Its threads stop one after the other.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    let refused = one.publish(stamped(2, 1)).await.unwrap_err();
    assert_eq!(refused.kind(), BrokerErrorKind::Unavailable);
    let noticed = began.elapsed();
    assert!(noticed < Duration::from_millis(2_500), "after {noticed:?}");
    until("both are down", || !one.is_up() && !other.is_up()).await;
    tokio::time::sleep(Duration::from_secs(3).saturating_sub(began.elapsed())).await;
    server.resume();
    until("both are up again", || one.is_up() && other.is_up()).await;
    publish_again(&one, &stamped(2, 1)).await;
    publish_again(&one, &stamped(3, 1)).await;
    until("all arrive", || numbers(&seen).len() >= 3).await;
    assert_eq!(numbers(&seen), [1, 2, 3]);
    for broker in [one, other] {
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_server_fails_with_a_sentence() {
    let began = Instant::now();
    let broker = broker("nats://127.0.0.1:1", "none");
    let error = broker.start(Recorder::new().ingress()).await.unwrap_err();
    assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
    let sentence = sentence(&error);
    assert!(
        sentence.contains("cannot connect to NATS at 127.0.0.1:1"),
        "{sentence}"
    );
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// What is broadcast while a node has no connection reaches it when it is back, in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_for_a_second_has_missed_nothing() {
    let server = Server::shared().await;
    let gate = Gate::to(&server.url()).await;
    let url = format!("nats://127.0.0.1:{}", gate.port);
    let (one, one_seen) = started(broker(&server.url(), "second")).await;
    let (away, away_seen) = started(broker(&url, "second")).await;
    for broker in [&one, &away] {
        broker.subscribe(channel()).await.unwrap();
    }
    for number in 1..=10 {
        one.publish(stamped(number, 1)).await.unwrap();
    }
    until("ten arrive", || numbers(&away_seen).len() == 10).await;
    gate.close();
    until("the server is missed", || !away.is_up()).await;
    for number in 11..=110 {
        one.publish(stamped(number, 1)).await.unwrap();
    }
    gate.open();
    until("what was missed arrives", || {
        numbers(&away_seen).len() >= 110
    })
    .await;
    assert_eq!(numbers(&away_seen), (1..=110).collect::<Vec<_>>());
    assert_eq!(numbers(&one_seen), (1..=110).collect::<Vec<_>>());
    for broker in [one, away] {
        broker.shutdown().await;
    }
}

/// The first of all owns every lane. When it vanishes, the next takes over.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_s_lanes_are_taken_over() {
    let server = Server::shared().await;
    let gate = Gate::to(&server.url()).await;
    let url = format!("nats://127.0.0.1:{}", gate.port);
    let (owner, _) = started(broker(&url, "taken")).await;
    let (one, one_seen) = started(broker(&server.url(), "taken")).await;
    let (other, other_seen) = started(broker(&server.url(), "taken")).await;
    for broker in [&one, &other] {
        broker.subscribe(channel()).await.unwrap();
    }
    for number in 1..=10 {
        one.publish(stamped(number, 1)).await.unwrap();
    }
    gate.close();
    let began = Instant::now();
    let tries = publish_again(&one, &stamped(11, 1)).await;
    let took = began.elapsed();
    assert!(
        tries > 1 && took < Duration::from_secs(5),
        "{tries} in {took:?}"
    );
    for number in 12..=20 {
        other_publishes(&other, number).await;
        one.publish(stamped(number, 1)).await.unwrap();
    }
    // The one that vanished comes back, and is no owner any more.
    owner.subscribe(channel()).await.unwrap_err();
    gate.open();
    until("it is back", || owner.is_up()).await;
    publish_again(&owner, &stamped(1, 3)).await;
    until("all arrive", || {
        [&one_seen, &other_seen]
            .iter()
            .all(|seen| numbers(seen).len() == 30)
    })
    .await;
    assert_eq!(numbers(&one_seen), numbers(&other_seen), "in one order");
    let mut sorted = numbers(&one_seen);
    sorted.retain(|number| *number < 100);
    sorted.pop();
    assert_eq!(sorted, (1..=20).collect::<Vec<_>>());
    for broker in [owner, one, other] {
        broker.shutdown().await;
    }
}

async fn other_publishes(broker: &Nats, number: u64) {
    let event = event(number + 100).stamped(Stamp {
        origin: 2,
        number: number - 11,
        settled: number - 12,
    });
    broker.publish(event).await.unwrap();
}

/// By a goodbye, others need not wait to be sure.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_shut_down_is_replaced_at_once() {
    let server = Server::shared().await;
    let (owner, _) = started(broker(&server.url(), "goodbye")).await;
    let (one, seen) = started(broker(&server.url(), "goodbye")).await;
    one.subscribe(channel()).await.unwrap();
    one.publish(stamped(1, 1)).await.unwrap();
    owner.shutdown().await;
    let began = Instant::now();
    publish_again(&one, &stamped(2, 1)).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    until("both arrive", || numbers(&seen) == [1, 2]).await;
    one.shutdown().await;
}

/// The client library comes back to such a server by itself; what it hears must not be heard twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_live_comes_once_after_a_lost_connection() {
    let server = Server::shared().await;
    let gate = Gate::to(&server.url()).await;
    let url = format!("nats://127.0.0.1:{}", gate.port);
    let (broker, seen) = started(broker(&url, "blink")).await;
    broker.subscribe(channel()).await.unwrap();
    for _ in 0..3 {
        gate.blink();
        until("the loss is noticed", || !broker.is_up()).await;
        until("the broker is back", || broker.is_up()).await;
    }
    for number in 1..=3 {
        let event = event(number).with_guarantee(Guarantee::Ephemeral);
        broker.publish(event).await.unwrap();
    }
    until("all arrive", || numbers(&seen).len() >= 3).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(numbers(&seen), [1, 2, 3]);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_dropped_is_gone() {
    let server = Server::shared().await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let (broker, _) = started(broker(&server.url(), "dropped")).await;
    broker.subscribe(channel()).await.unwrap();
    assert!(tasks() > before);
    drop(broker);
    until("its tasks end", || tasks() <= before).await;
}
