//! NATS JetStream as an engine of service topics, on real servers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod by_hand;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use fanfare::Sink;
use fanfare::broker::BrokerErrorKind;
use fanfare_brokers::services::Engine;
use fanfare_brokers::services::nats::{Config, Nats};
use fanfare_brokers::services::testing::{Plan, Power, check_all, check_crash, check_foreign};
use fanfare_test_servers::Nats as Server;

use by_hand::rules;
use by_hand::{group, next, nothing, publish_at_last, record, until};

async fn engine() -> Nats {
    Nats::connect(&Server::shared().await.url()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_an_engines_promises() {
    let connect = async || Arc::new(engine().await) as Arc<dyn Engine>;
    check_all(connect, &Plan::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_others_are_records() {
    let connect = async || Arc::new(engine().await) as Arc<dyn Engine>;
    let client = Box::pin(async_nats::connect(Server::shared().await.url()));
    let context = jetstream::new(client.await.unwrap());
    let write = async |topic: &str, payload| {
        let sent = context.publish(format!("services.{topic}"), payload).await;
        sent.unwrap().await.unwrap();
    };
    check_foreign(connect, write, &Plan::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing() {
    let server = tokio::sync::Mutex::new(Server::start().await);
    let url = server.lock().await.url();
    let connect = async || Arc::new(Nats::connect(&url).await.unwrap()) as Arc<dyn Engine>;
    let power = async |power| match power {
        Power::Off => server.lock().await.kill().await,
        Power::On => server.lock().await.start_again().await,
    };
    check_crash(connect, power, &Plan::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_retried_then_dead_then_replayed() {
    rules::poison(Arc::new(engine().await), "nats.poison").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_outlives_the_source() {
    rules::retry_outlives_the_source(&engine().await, "nats.retry").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settled_in_any_order() {
    rules::out_of_order(&engine().await, "nats.out-of-order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_goes_to_several_topics() {
    let topics = ["user-nft-events-topic", "nft-analytics-topic"];
    rules::one_id_in_two_topics(&engine().await, topics).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_nearly_as_long_as_may_be() {
    rules::nearly_too_long(&engine().await, "nats.long", (1 << 20) - 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_wait_than_are_held() {
    rules::many_wait(&engine().await, "nats.many").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_take_longer_than_the_server_waits() {
    let config = Config {
        ack_wait: Duration::from_secs(2),
        ..Config::default()
    };
    let url = Server::shared().await.url();
    let engine = Nats::connect_with(&url, config).await.unwrap();
    let subscription = group("nats.slow", "g", 5);
    let mut source = engine.open(&subscription).await.unwrap();
    engine
        .publish(record("nats.slow", "k", "one"))
        .await
        .unwrap();
    let one = next(&mut *source).await;
    let mut other = engine.open(&subscription).await.unwrap();
    nothing(&mut *other, Duration::from_secs(6)).await;
    one.settle.done().await.unwrap();
    nothing(&mut *other, Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_somebody_deletes_comes_back() {
    let engine = engine().await;
    let mut source = engine.open(&group("nats.deleted", "g", 5)).await.unwrap();
    engine
        .publish(record("nats.deleted", "k", "one"))
        .await
        .unwrap();
    next(&mut *source).await.settle.done().await.unwrap();
    let client = Box::pin(async_nats::connect(Server::shared().await.url()));
    let context = jetstream::new(client.await.unwrap());
    let stream = context.get_stream("FANFARE_SERVICES").await.unwrap();
    stream.delete_consumer("g==nats=2Edeleted").await.unwrap();
    engine
        .publish(record("nats.deleted", "k", "two"))
        .await
        .unwrap();
    let two = next(&mut *source).await;
    assert_eq!(two.record.id, "two");
    two.settle.done().await.unwrap();
    nothing(&mut *source, Duration::from_millis(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_published_twice_is_one() {
    let engine = engine().await;
    let record = record("nats.twice", "k", "same");
    engine.publish(record.clone()).await.unwrap();
    engine.publish(record.clone()).await.unwrap();
    let mut source = engine.open(&group("nats.twice", "g", 5)).await.unwrap();
    let delivery = next(&mut *source).await;
    assert_eq!(delivery.record, record);
    nothing(&mut *source, Duration::from_millis(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_other_programs() {
    let engine = engine().await;
    let client = Box::pin(async_nats::connect(Server::shared().await.url()))
        .await
        .unwrap();
    let context = jetstream::new(client);
    let publish = |message: jetstream::message::PublishMessage| {
        let context = context.clone();
        async move {
            context
                .send_publish("services.nats.foreign", message)
                .await
                .unwrap()
                .await
        }
    };
    let plain = jetstream::message::PublishMessage::build().payload("not even JSON".into());
    let sequence = publish(plain.clone()).await.unwrap().sequence;
    publish(plain.message_id("theirs")).await.unwrap();
    let mut source = engine.open(&group("nats.foreign", "g", 5)).await.unwrap();
    let first = next(&mut *source).await;
    assert_eq!(first.record.id, format!("FANFARE_SERVICES-{sequence}"));
    assert_eq!(&first.record.payload[..], b"not even JSON");
    assert_eq!((first.record.key.as_str(), first.failures.len()), ("", 0));
    let second = next(&mut *source).await;
    assert_eq!(second.record.id, "theirs");
    second.settle.done().await.unwrap();
    // A record that failed keeps its id.
    let id = first.record.id.clone();
    let reason = by_hand::failure("not JSON");
    first.settle.give_up(reason).await.unwrap();
    let mut letters = engine
        .dead_letters(&group("nats.foreign", "g", 5))
        .await
        .unwrap();
    assert_eq!(letters.list(5).await.unwrap()[0].record.id, id);
    assert_eq!(letters.replay(5).await.unwrap(), 1);
    assert_eq!(next(&mut *source).await.record.id, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load() {
    let mut server = Server::start().await;
    let config = Config {
        ack_wait: Duration::from_secs(5),
        ..Config::default()
    };
    let engine = Arc::new(Nats::connect_with(&server.url(), config).await.unwrap());
    let subscription = group("load", "g", 50);
    let mut source = engine.open(&subscription).await.unwrap();
    let publisher = {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            for n in 0..3_000 {
                publish_at_last(&*engine, &record("load", "k", n.to_string())).await;
            }
        })
    };
    let mut seen = BTreeSet::new();
    let mut settled = BTreeSet::new();
    let mut repeated = 0;
    let mut kills = 0;
    let begun = Instant::now();
    while settled.len() < 3_000 {
        let delivery = next(&mut *source).await;
        let id = delivery.record.id.clone();
        if settled.contains(&id) {
            repeated += 1;
        }
        seen.insert(id.clone());
        if delivery.settle.done().await.is_ok() {
            settled.insert(id);
        }
        if settled.len() == 1_000 * (kills + 1) && kills < 2 {
            kills += 1;
            server.kill().await;
            until(Duration::from_secs(3), "down", || !engine.is_up()).await;
            let asked = Instant::now();
            let error = engine
                .publish(record("load", "k", "away"))
                .await
                .unwrap_err();
            assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
            assert!(asked.elapsed() < Duration::from_secs(6));
            server.start_again().await;
            until(Duration::from_secs(10), "up", || engine.is_up()).await;
        }
    }
    publisher.await.unwrap();
    println!(
        "{repeated} of 3,000 repeated after {kills} kills, {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_survive_a_killed_server() {
    let mut server = Server::start().await;
    let engine = Nats::connect(&server.url()).await.unwrap();
    let mut source = engine.open(&group("t", "g", 5)).await.unwrap();
    engine.publish(record("t", "k", "one")).await.unwrap();
    let one = next(&mut *source).await;
    let begun = Instant::now();
    one.settle
        .retry(Duration::from_secs(4), by_hand::failure("bad"))
        .await
        .unwrap();
    server.kill().await;
    server.start_again().await;
    let again = next(&mut *source).await;
    println!("retry after {:?} across a kill", begun.elapsed());
    assert_eq!((again.record.id.as_str(), again.failures.len()), ("one", 1));
    assert!(
        begun.elapsed() >= Duration::from_millis(3_900),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_noticed() {
    let mut server = Server::start().await;
    let engine = Nats::connect(&server.url()).await.unwrap();
    server.pause();
    let asked = Instant::now();
    let error = engine.publish(record("t", "k", "one")).await.unwrap_err();
    assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
    assert!(
        asked.elapsed() < Duration::from_millis(5_500),
        "{:?}",
        asked.elapsed()
    );
    until(Duration::from_secs(3), "down", || !engine.is_up()).await;
    server.resume();
    until(Duration::from_secs(10), "up", || engine.is_up()).await;
    publish_at_last(&engine, &record("t", "k", "two")).await;
    engine.shutdown().await;
    let error = engine.publish(record("t", "k", "three")).await.unwrap_err();
    assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
}

#[tokio::test]
async fn what_cannot_be_connected_to() {
    let sentence = async |url: &str| {
        let begun = Instant::now();
        let error = Nats::connect(url).await.unwrap_err();
        assert!(
            begun.elapsed() < Duration::from_secs(6),
            "{:?}",
            begun.elapsed()
        );
        (error.kind(), error.source().unwrap().to_string())
    };
    let (kind, text) = sentence("nats://user:secret@127.0.0.1:9").await;
    assert_eq!(kind, BrokerErrorKind::Unavailable);
    assert!(
        text.starts_with("NATS at 127.0.0.1:9 cannot be reached") && !text.contains("secret"),
        "{text}"
    );
    let (kind, text) = sentence("http://127.0.0.1:9").await;
    assert_eq!(kind, BrokerErrorKind::Rejected);
    assert!(text.contains("nats://host:port"), "{text}");
    // Accepts connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (kind, text) = sentence(&format!("nats://{}", silent.local_addr().unwrap())).await;
    assert_eq!(kind, BrokerErrorKind::Unavailable);
    println!("{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused() {
    let engine = engine().await;
    let mut long = record("nats.refused", "k", "x".repeat(129));
    let refused = async |record| engine.publish(record).await.unwrap_err();
    assert_eq!(
        refused(long.clone()).await.kind(),
        BrokerErrorKind::Rejected
    );
    long.id = "big".into();
    long.payload = vec![b'x'; 2 << 20].into();
    assert_eq!(
        refused(long.clone()).await.kind(),
        BrokerErrorKind::Rejected
    );
    long.topic = String::new();
    assert_eq!(refused(long).await.kind(), BrokerErrorKind::Rejected);
    let error = engine.open(&group("t", "g", 0)).await.err().unwrap();
    assert_eq!(error.kind(), BrokerErrorKind::Rejected);
}
