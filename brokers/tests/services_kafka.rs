//! Kafka as an engine of service topics, on real servers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod by_hand;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare::Sink;
use fanfare::broker::BrokerErrorKind;
use fanfare_brokers::services::Engine;
use fanfare_brokers::services::kafka::Kafka;
use fanfare_brokers::services::testing::{Plan, Power, check_all, check_crash, check_foreign};
use fanfare_test_servers::Kafka as Server;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use by_hand::rules;
use by_hand::{failure, group, next, nothing, publish_at_last, record, until};

/// A group of Kafka's takes a while to find itself after a consumer came or went.
fn plan() -> Plan {
    Plan {
        patience: Duration::from_secs(40),
        joining: Duration::from_secs(6),
        ..Plan::default()
    }
}

async fn engine() -> Kafka {
    Kafka::connect(&Server::shared().await.url()).await.unwrap()
}

fn servers(url: &str) -> String {
    url.trim_start_matches("kafka://").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_an_engines_promises() {
    let connect = async || Arc::new(engine().await) as Arc<dyn Engine>;
    check_all(connect, &plan()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_others_are_records() {
    let url = Server::shared().await.url();
    let connect = async || Arc::new(engine().await) as Arc<dyn Engine>;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers(&url));
    let producer: BaseProducer = config.create().unwrap();
    let write = async |topic: &str, payload: bytes::Bytes| {
        let record = BaseRecord::<(), [u8]>::to(topic).payload(&payload);
        producer.send(record).unwrap();
        tokio::task::block_in_place(|| producer.flush(Duration::from_secs(10)).unwrap());
    };
    check_foreign(connect, write, &plan()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing() {
    let server = tokio::sync::Mutex::new(Server::start().await);
    let url = server.lock().await.url();
    let connect = async || Arc::new(Kafka::connect(&url).await.unwrap()) as Arc<dyn Engine>;
    let power = async |power| match power {
        Power::Off => server.lock().await.kill().await,
        Power::On => server.lock().await.start_again().await,
    };
    check_crash(connect, power, &plan()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_retried_then_dead_then_replayed() {
    rules::poison(Arc::new(engine().await), "kafka.poison").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_outlives_the_source() {
    rules::retry_outlives_the_source(&engine().await, "kafka.retry").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settled_in_any_order() {
    rules::out_of_order(&engine().await, "kafka.out-of-order").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_nearly_as_long_as_may_be() {
    rules::nearly_too_long(&engine().await, "kafka.long", 1_000_000 - 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_wait_than_are_held() {
    rules::many_wait(&engine().await, "kafka.many").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_created_with_the_partitions_that_were_asked_for() {
    const TOPICS: [(&str, u16); 2] = [("kafka.five", 5), ("kafka.two", 2)];
    let url = Server::shared().await.url();
    let engine = Kafka::connect_with(&url, TOPICS.into_iter().collect())
        .await
        .unwrap();
    rules::one_id_in_two_topics(&engine, TOPICS.map(|(topic, _)| topic)).await;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers(&url));
    let consumer: BaseConsumer = config.create().unwrap();
    tokio::task::block_in_place(|| {
        for (topic, partitions) in TOPICS {
            let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10));
            let found = metadata.unwrap().topics()[0].partitions().len();
            assert_eq!(found, usize::from(partitions), "{topic}");
        }
    });
    engine.shutdown().await;
    let error = engine.publish(record("t", "k", "late")).await.unwrap_err();
    assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
}

/// A long pause in front does not hold up a short one behind it.
#[tokio::test(flavor = "multi_thread")]
async fn retries_come_when_they_are_due() {
    let engine = engine().await;
    for id in ["long", "short"] {
        engine.publish(record("kafka.due", "k", id)).await.unwrap();
    }
    let mut source = engine.open(&group("kafka.due", "g", 10)).await.unwrap();
    let (long, short) = (next(&mut *source).await, next(&mut *source).await);
    let begun = Instant::now();
    let (three, two) = (Duration::from_secs(3), Duration::from_secs(2));
    long.settle.retry(three, failure("long")).await.unwrap();
    short.settle.retry(two, failure("short")).await.unwrap();
    for (id, due) in [("short", two), ("long", three)] {
        let delivery = next(&mut *source).await;
        let waited = begun.elapsed();
        assert_eq!(delivery.record.id, id);
        println!("{id} after {waited:?}");
        assert!(waited >= due.mul_f64(0.95) && waited < due + Duration::from_millis(900));
        delivery.settle.done().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_counts_what_waits() {
    let engine = engine().await;
    let subscription = group("kafka.lag", "g", 3);
    let mut source = engine.open(&subscription).await.unwrap();
    for n in 0..10 {
        engine
            .publish(record("kafka.lag", "k", n.to_string()))
            .await
            .unwrap();
    }
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(next(&mut *source).await);
    }
    assert_eq!(source.lag().await, Some(7));
    taken.pop().unwrap().settle.done().await.unwrap();
    assert_eq!(
        source.lag().await,
        Some(7),
        "one that is settled behind others counts no more"
    );
    taken.pop().unwrap().settle.release().await.unwrap();
    assert_eq!(source.lag().await, Some(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_come_and_go() {
    let engine = Arc::new(engine().await);
    let subscription = group("kafka.rebalance", "g", 20);
    let mut sources = vec![engine.open(&subscription).await.unwrap()];
    let publisher = {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            for n in 0..2_000u32 {
                let key = format!("k{}", n % 16);
                publish_at_last(&*engine, &record("kafka.rebalance", &key, n.to_string())).await;
            }
        })
    };
    let mut settled = BTreeSet::new();
    let mut repeated = 0;
    let begun = Instant::now();
    let mut changes = 0;
    while settled.len() < 2_000 {
        for source in &mut sources {
            let Ok(Ok(delivery)) =
                tokio::time::timeout(Duration::from_millis(20), source.next()).await
            else {
                continue;
            };
            let id = delivery.record.id.clone();
            if settled.contains(&id) {
                repeated += 1;
            }
            if delivery.settle.done().await.is_ok() {
                settled.insert(id);
            }
        }
        let due = begun.elapsed().as_secs() / 3;
        if changes < due && changes < 4 {
            changes += 1;
            if changes % 2 == 1 {
                sources.push(engine.open(&subscription).await.unwrap());
            } else {
                sources.remove(0);
            }
        }
        assert!(
            begun.elapsed() < Duration::from_secs(90),
            "{} settled",
            settled.len()
        );
    }
    publisher.await.unwrap();
    println!(
        "{repeated} of 2,000 repeated in {changes} changes, {:?}",
        begun.elapsed()
    );
    assert_eq!(repeated, 0, "what was settled came again");
    for source in &mut sources {
        nothing(&mut **source, Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_noticed() {
    let mut server = Server::start().await;
    let engine = Kafka::connect(&server.url()).await.unwrap();
    engine.publish(record("t", "k", "zero")).await.unwrap();
    server.pause();
    let asked = Instant::now();
    let error = engine.publish(record("t", "k", "one")).await.unwrap_err();
    assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
    println!("publish failed after {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(10));
    until(Duration::from_secs(5), "down", || !engine.is_up()).await;
    server.resume();
    until(Duration::from_secs(15), "up", || engine.is_up()).await;
    publish_at_last(&engine, &record("t", "k", "two")).await;
}

#[tokio::test]
async fn what_cannot_be_connected_to() {
    let sentence = async |url: &str| {
        let begun = Instant::now();
        let error = Kafka::connect(url).await.unwrap_err();
        assert!(
            begun.elapsed() < Duration::from_secs(6),
            "{:?}",
            begun.elapsed()
        );
        (error.kind(), error.source().unwrap().to_string())
    };
    let (kind, text) = sentence("kafka://127.0.0.1:9").await;
    assert_eq!(kind, BrokerErrorKind::Unavailable);
    assert!(
        text.starts_with("Kafka at 127.0.0.1:9 cannot be reached"),
        "{text}"
    );
    let (kind, text) = sentence("nats://127.0.0.1:9").await;
    assert_eq!(kind, BrokerErrorKind::Rejected);
    assert!(text.contains("kafka://host:port"), "{text}");
    // Accepts connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (kind, _) = sentence(&format!("kafka://{}", silent.local_addr().unwrap())).await;
    assert_eq!(kind, BrokerErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused() {
    let engine = engine().await;
    let refused = async |record| engine.publish(record).await.unwrap_err();
    let long = record("kafka.refused", "k", "x".repeat(129));
    assert_eq!(refused(long).await.kind(), BrokerErrorKind::Rejected);
    let mut big = record("kafka.refused", "k", "big");
    big.payload = vec![b'x'; 2 << 20].into();
    assert_eq!(refused(big).await.kind(), BrokerErrorKind::Rejected);
    let error = refused(record("no topic!", "k", "a")).await;
    assert_eq!(error.kind(), BrokerErrorKind::Rejected);
    assert!(
        error
            .source()
            .unwrap()
            .to_string()
            .contains("letters, digits")
    );
    let error = engine.open(&group("t", "g", 0)).await.err().unwrap();
    assert_eq!(error.kind(), BrokerErrorKind::Rejected);
}
