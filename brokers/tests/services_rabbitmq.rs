//! RabbitMQ as an engine of services, against a real server.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

mod secured;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fanfare::{BrokerError, BrokerErrorKind};
use fanfare_brokers::services::rabbitmq::{Durability, RabbitMq, Topology};
use fanfare_brokers::services::testing::{Plan, Power, check_all, check_crash, check_foreign};
use fanfare_brokers::services::{
    BreakerPolicy, Consumer, Dead, Engine, Handler, HandlerError, Record, RetryPolicy, Running,
    Subscription, Work,
};
use fanfare_test_servers::RabbitMq as Server;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicRejectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{sleep, timeout};

use crate::secured::Secured;

async fn connect(url: &str, durability: Durability) -> Arc<dyn Engine> {
    let topology = Topology::gamification().durability(durability);
    Arc::new(RabbitMq::connect(url, topology).await.unwrap())
}

/// A channel of a program that knows nothing of fanfare.
async fn stranger(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default());
    let connection = connection.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

async fn write(channel: &Channel, topic: &str, payload: &[u8], properties: BasicProperties) {
    let options = BasicPublishOptions::default();
    let exchange = "gamification".into();
    let published = channel.basic_publish(exchange, topic.into(), options, payload, properties);
    published.await.unwrap().await.unwrap();
}

fn record(topic: &str, id: &str) -> Record {
    Record {
        topic: topic.to_owned(),
        key: "user-456".to_owned(),
        id: id.to_owned(),
        payload: Bytes::from_static(br#"{"type":"quest.completed"}"#),
    }
}

fn subscription(topic: &str, group: &str) -> Subscription {
    Subscription {
        topic: topic.to_owned(),
        group: group.to_owned(),
        prefetch: 20,
    }
}

async fn start(engine: &Arc<dyn Engine>, group: &Subscription, handler: impl Handler) -> Running {
    let consumer = Consumer::new(engine.clone(), group.clone(), handler)
        .retry(RetryPolicy::default())
        .breaker(BreakerPolicy::NEVER);
    consumer.start().await.unwrap()
}

/// Dead letters of a group, once there are any.
async fn dead(engine: &Arc<dyn Engine>, group: &Subscription) -> Vec<Dead> {
    let mut letters = engine.dead_letters(group).await.unwrap();
    for _ in 0..100 {
        let dead = letters.list(100).await.unwrap();
        if !dead.is_empty() {
            return dead;
        }
        sleep(Duration::from_millis(100)).await;
    }
    Vec::new()
}

fn cause(error: &BrokerError) -> String {
    error.source().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_an_engines_promises() {
    let server = Server::shared().await;
    let engine = async || connect(&server.url(), Durability::Classic).await;
    check_all(engine, &Plan::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_does_with_quorum_queues() {
    let server = Server::start().await;
    let engine = async || connect(&server.url(), Durability::Quorum).await;
    check_all(engine, &Plan::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_are_records() {
    let url = Server::shared().await.url();
    let (_connection, channel) = stranger(&url).await;
    let engine = async || connect(&url, Durability::Classic).await;
    let write = async |topic: &str, payload: Bytes| {
        write(&channel, topic, &payload, BasicProperties::default()).await;
    };
    check_foreign(engine, write, &Plan::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_server_is_killed() {
    let server = Server::start().await;
    let url = server.url();
    let server = Mutex::new(server);
    let engine = async || connect(&url, Durability::Classic).await;
    let power = async |power| {
        let mut server = server.lock().await;
        match power {
            Power::Off => server.kill().await,
            Power::On => server.start_again().await,
        }
    };
    check_crash(engine, power, &Plan::default()).await;
}

/// Three retries, after 1, 2 and 4 s, then `failed_events` with the reason and the history; replayed
/// once the bug is fixed.
#[tokio::test(flavor = "multi_thread")]
async fn a_poisonous_quest_ends_in_failed_events() {
    let server = Server::start().await;
    let engine = connect(&server.url(), Durability::Classic).await;
    let group = subscription("quest.*", "quest_events");
    let (attempts, mut seen) = mpsc::unbounded_channel();
    let broken = move |work: Work| {
        let _ = attempts.send((work.attempt, Instant::now()));
        async { Err::<(), _>(HandlerError::retryable("the ledger is closed")) }
    };
    let running = start(&engine, &group, broken).await;
    engine
        .publish(record("quest.completed", "q1"))
        .await
        .unwrap();

    let mut pauses = Vec::new();
    let (_, mut before) = seen.recv().await.unwrap();
    for attempt in 2..=4 {
        let (number, at) = seen.recv().await.unwrap();
        assert_eq!(number, attempt);
        pauses.push((at - before).as_secs_f64());
        before = at;
    }
    assert!((0.95..2.5).contains(&pauses[0]), "{pauses:?}");
    assert!((1.95..3.5).contains(&pauses[1]), "{pauses:?}");
    assert!((3.95..5.5).contains(&pauses[2]), "{pauses:?}");
    let letters = dead(&engine, &group).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].record, record("quest.completed", "q1"));
    let reasons = letters[0].failures.iter().map(|failure| &*failure.reason);
    assert!(reasons.eq(["the ledger is closed"; 4]));
    assert!(letters[0].failures.is_sorted_by_key(|failure| failure.at));
    assert!(timeout(Duration::from_secs(1), seen.recv()).await.is_err());
    running.stop().await;

    // It is where the document says, readable by whoever looks at the queue.
    let (_connection, channel) = stranger(&server.url()).await;
    let asked = channel.basic_get("failed_events".into(), BasicGetOptions::default());
    let letter = asked.await.unwrap().unwrap().delivery;
    assert_eq!(letter.exchange.as_str(), "gamification.dlx");
    assert_eq!(letter.routing_key.as_str(), "error.quest");
    let headers = letter.properties.headers().clone().unwrap();
    let reason = AMQPValue::LongString("the ledger is closed".into());
    assert_eq!(headers.inner().get("fanfare-reason"), Some(&reason));
    channel.close(200, "OK".into()).await.unwrap();

    let (worked, mut handled) = mpsc::unbounded_channel();
    let mended = move |work: Work| {
        let _ = worked.send((work.record.id, work.attempt));
        async { Ok::<_, HandlerError>(()) }
    };
    let running = start(&engine, &group, mended).await;
    let mut letters = engine.dead_letters(&group).await.unwrap();
    assert_eq!(letters.replay(100).await.unwrap(), 1);
    assert_eq!(handled.recv().await.unwrap(), ("q1".to_owned(), 1));
    running.stop().await;
    assert!(letters.list(100).await.unwrap().is_empty());
    engine.shutdown().await;
}

/// Rejected by a program that knows nothing of fanfare, expired, displaced: the server makes dead
/// letters by itself.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_the_server_are_listed_and_replayed() {
    let server = Server::start().await;
    let engine = connect(&server.url(), Durability::Classic).await;
    let (_connection, channel) = stranger(&server.url()).await;
    let named = |id: &str| BasicProperties::default().with_message_id(id.into());

    let expiring = named("expired").with_expiration("50".into());
    write(&channel, "reward.claimed", b"{}", expiring).await;
    sleep(Duration::from_millis(300)).await;
    write(&channel, "reward.created", b"{}", named("rejected")).await;
    let queue = "reward_events".into();
    let got = channel.basic_get(queue, BasicGetOptions::default()).await;
    let rejecting = BasicRejectOptions { requeue: false };
    let got = got.unwrap().unwrap();
    let rejected = got.delivery.acker.reject(rejecting);
    rejected.await.unwrap();

    let group = subscription("reward_events", "reward_events");
    let mut letters = engine.dead_letters(&group).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let listed = loop {
        let listed = letters.list(10).await.unwrap();
        if listed.len() == 2 || Instant::now() > deadline {
            break listed;
        }
        sleep(Duration::from_millis(50)).await;
    };
    let reasons = listed.iter().map(|dead| {
        let last = dead.failures.last().unwrap();
        (&*dead.record.id, (&*dead.record.topic, &*last.reason))
    });
    let expected = [
        (
            "expired",
            ("reward.claimed", "expired in queue reward_events"),
        ),
        (
            "rejected",
            ("reward.created", "rejected in queue reward_events"),
        ),
    ];
    let reasons = reasons.collect::<BTreeMap<_, _>>();
    assert_eq!(reasons, BTreeMap::from(expected));

    let mut source = engine.open(&group).await.unwrap();
    assert_eq!(letters.replay(10).await.unwrap(), 2);
    for _ in 0..2 {
        let delivery = source.next().await.unwrap();
        assert!(delivery.failures.is_empty());
        delivery.settle.done().await.unwrap();
    }
    assert!(letters.list(10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn amqps_is_encrypted_and_checks_the_certificate() {
    let url = Server::shared().await.url();
    let (_, place) = url.rsplit_once('@').unwrap();
    let secured = Secured::before(place.split_once('/').unwrap().0).await;
    let url = format!("amqps://localhost:{}/%2f", secured.port);
    secured.client("client_by_tls", &url).await;
    assert_eq!(secured.handshakes(), 1, "the handshake was done");

    // This process does not know the certificate.
    let refused = RabbitMq::connect(&url, Topology::gamification()).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), BrokerErrorKind::Unavailable);
    assert!(cause(&refused).contains("certificate"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the client of the test above"]
async fn client_by_tls() {
    let engine = connect(&secured::url(), Durability::Classic).await;
    let group = subscription("reward.*", "by_tls");
    let mut source = engine.open(&group).await.unwrap();
    let sent = record("reward.claimed", "by_tls");
    engine.publish(sent.clone()).await.unwrap();
    let delivery = source.next().await.unwrap();
    assert_eq!(delivery.record, sent);
    delivery.settle.done().await.unwrap();
    drop(source);
    engine.shutdown().await;
}

#[tokio::test]
async fn a_consumer_keeps_its_engine() {
    let server = Server::shared().await;
    let (came, mut coming) = mpsc::unbounded_channel();
    let engine = connect(&server.url(), Durability::Classic).await;
    let handler = move |work: Work| {
        let sent = came.send(work.record.id);
        async move { sent.map_err(HandlerError::permanent) }
    };
    let running = start(&engine, &subscription("kept", "kept"), handler).await;
    drop(engine);
    sleep(Duration::from_millis(500)).await;
    let other = connect(&server.url(), Durability::Classic).await;
    other.publish(record("kept", "after")).await.unwrap();
    let id = timeout(Duration::from_secs(20), coming.recv()).await;
    assert_eq!(id.unwrap().unwrap(), "after");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_family_reaches_its_queue() {
    let server = Server::start().await;
    let engine = connect(&server.url(), Durability::Classic).await;
    for family in [
        "achievement",
        "quest",
        "reward",
        "notification",
        "analytics",
    ] {
        let queue = format!("{family}_events");
        let topic = format!("{family}.created");
        engine.publish(record(&topic, family)).await.unwrap();
        let group = subscription(&queue, &queue);
        let mut source = engine.open(&group).await.unwrap();
        let next = timeout(Duration::from_secs(5), source.next()).await;
        let delivery = next.unwrap().unwrap();
        assert_eq!(delivery.record.id, family);
        delivery.settle.done().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_queue_takes_is_refused_and_nothing_else() {
    let url = Server::shared().await.url();
    let engine = connect(&url, Durability::Classic).await;
    // Together, so that their confirms come together.
    let publishing = (0..200).map(|number| {
        let topic = ["quest.created", "nobody.listens"][usize::from(number % 7 == 0)];
        engine.publish(record(topic, &number.to_string()))
    });
    for (number, published) in publishing.collect::<Vec<_>>().into_iter().enumerate() {
        match published.await {
            Ok(()) => assert_ne!(number % 7, 0, "{number}"),
            Err(error) => {
                assert_eq!(number % 7, 0, "{number}: {error:?}");
                assert_eq!(error.kind(), BrokerErrorKind::Rejected);
                assert!(cause(&error).contains("\"nobody.listens\""), "{error:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_sentences() {
    let url = Server::shared().await.url();
    let connect = async |url: &str| {
        let connected = RabbitMq::connect(url, Topology::gamification()).await;
        let error = connected.unwrap_err();
        (error.kind(), cause(&error))
    };
    let (kind, sentence) = connect("amqp://127.0.0.1:1/%2f").await;
    assert_eq!(kind, BrokerErrorKind::Unavailable);
    assert!(
        sentence.starts_with("cannot connect to RabbitMQ at 127.0.0.1:1"),
        "{sentence}"
    );
    for no_url in ["rabbit", "http://127.0.0.1", "amqp://[::1]:5672/%2f"] {
        let (kind, sentence) = connect(no_url).await;
        assert_eq!(kind, BrokerErrorKind::Rejected);
        assert!(
            sentence.starts_with("no URL of a RabbitMQ server"),
            "{sentence}"
        );
    }
    let (kind, sentence) = connect(&url.replace("guest:guest", "guest:secret")).await;
    assert_eq!(kind, BrokerErrorKind::Rejected, "{sentence}");
    assert!(!sentence.contains("secret"), "{sentence}");
    let (kind, sentence) = connect(&url.replace("%2f", "nowhere")).await;
    assert_eq!(kind, BrokerErrorKind::Rejected, "{sentence}");
    // A queue that somebody has declared otherwise.
    let (_connection, channel) = stranger(&url).await;
    let declared = channel.queue_declare(
        "odd.readers".into(),
        QueueDeclareOptions::durable(),
        FieldTable::default(),
    );
    declared.await.unwrap();
    let engine = self::connect(&url, Durability::Classic).await;
    let refused = engine
        .open(&subscription("odd", "readers"))
        .await
        .err()
        .unwrap();
    assert_eq!(refused.kind(), BrokerErrorKind::Rejected);
    assert!(
        cause(&refused).starts_with("cannot declare queue odd.readers"),
        "{refused:?}"
    );
    for (id, key) in [
        ("", ""),
        (&*"x".repeat(129), ""),
        ("id", &*"x".repeat(16_385)),
    ] {
        let mut record = record("quest.created", id);
        record.key = key.to_owned();
        let refused = engine.publish(record).await.unwrap_err();
        assert_eq!(refused.kind(), BrokerErrorKind::Rejected);
    }
    let long = subscription(&"long.".repeat(50), "readers");
    let refused = engine.open(&long).await.err().unwrap();
    assert_eq!(refused.kind(), BrokerErrorKind::Rejected);
    let mut none = subscription("quest.*", "quest_events");
    none.prefetch = 0;
    let refused = engine.open(&none).await.err().unwrap();
    assert_eq!(cause(&refused), "a prefetch is 1 to 10000, not 0");
}

/// Another program's consumer of the same queue gets what a stopped consumer had in hand.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_left_to_others() {
    let url = Server::shared().await.url();
    let engine = connect(&url, Durability::Classic).await;
    let group = subscription("left.behind", "readers");
    drop(engine.open(&group).await.unwrap());
    for number in 0..10 {
        let record = record("left.behind", &number.to_string());
        engine.publish(record).await.unwrap();
    }
    let busy = |_: Work| async {
        sleep(Duration::from_secs(60)).await;
        Ok::<_, HandlerError>(())
    };
    let consumer = Consumer::new(engine.clone(), group, busy).grace(Duration::from_millis(200));
    let running = consumer.start().await.unwrap();
    sleep(Duration::from_millis(500)).await;
    let begun = Instant::now();
    running.stop().await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    let (_connection, channel) = stranger(&url).await;
    let consuming = channel.basic_consume(
        "left.behind.readers".into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut consumer = consuming.await.unwrap();
    for number in 0..10 {
        let next = futures_util::StreamExt::next(&mut consumer);
        let delivery = timeout(Duration::from_secs(5), next).await.unwrap();
        let delivery = delivery.unwrap().unwrap();
        let id = delivery.properties.message_id().clone().unwrap();
        assert_eq!(id.as_str(), number.to_string());
    }
}

/// A server that answers nothing, with its connections open.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stalls_is_missed() {
    let mut server = Server::start().await;
    let engine = connect(&server.url(), Durability::Classic).await;
    engine.publish(record("quest.created", "1")).await.unwrap();
    server.pause();
    let begun = Instant::now();
    let refused = engine.publish(record("quest.created", "2")).await;
    assert_eq!(refused.unwrap_err().kind(), BrokerErrorKind::Unavailable);
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    while engine.is_up() {
        assert!(begun.elapsed() < Duration::from_secs(40), "it is still up");
        sleep(Duration::from_millis(50)).await;
    }
    server.resume();
    let begun = Instant::now();
    while !engine.is_up() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it is still down"
        );
        sleep(Duration::from_millis(50)).await;
    }
    engine.publish(record("quest.created", "3")).await.unwrap();
}
