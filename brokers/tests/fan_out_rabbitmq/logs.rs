//! What nodes read in the log.

use std::time::Duration;

use fanfare::Broker;
use fanfare_brokers::fan_out::rabbitmq::Config;
use fanfare_test_servers::RabbitMq as RabbitMqServer;
use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tokio::time::sleep;

use crate::node::{CHANNEL, Node, config, event, sized, until};
use crate::proxy::Proxy;

async fn other_program(url: &str) -> Connection {
    let properties = ConnectionProperties::default();
    Box::pin(Connection::connect(url, properties))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_publisher_is_told_the_position() {
    let url = RabbitMqServer::shared().await.url();
    let node = Node::start(config(&url, "logs-1")).await;
    for number in 1..20 {
        let published = node.publish(number).await.unwrap();
        assert_eq!(published.position, Some(node.last()));
        assert_eq!(node.covered().epoch, node.last().epoch);
    }
    // A copy has no place of its own.
    let copy = node.publish(19).await.unwrap();
    assert_eq!(copy.position, None);
    assert_eq!(node.numbers(), (1..20).collect::<Vec<_>>());
    node.broker.shutdown().await;
}

#[tokio::test]
async fn a_node_reads_back_as_far_as_it_means_to() {
    let url = RabbitMqServer::shared().await.url();
    let config = config(&url, "logs-2");
    let early = Node::start(config.clone()).await;
    let mut under_way = Vec::new();
    for number in 1..=500 {
        under_way.push(early.broker.publish(event(number)));
    }
    for publishing in under_way {
        publishing.await.unwrap();
    }
    early.until_taken(500).await;
    let late = Node::start(Config {
        read_back: 100,
        ..config.clone()
    })
    .await;
    assert_eq!(late.numbers(), (401..=500).collect::<Vec<_>>());
    let first = late.taken()[0].position.unwrap();
    let covered = late.covered();
    assert_eq!((covered.epoch, covered.from), (first.epoch, first.offset));
    assert_eq!(late.last(), early.last());
    let none = Node::start(Config {
        read_back: 0,
        ..config
    })
    .await;
    assert!(none.taken().is_empty());
    assert!(none.covered().from > late.last().offset);
    for node in [&early, &late, &none] {
        node.broker.shutdown().await;
    }
}

#[tokio::test]
async fn other_programs_may_listen_and_their_nonsense_is_skipped() {
    let url = RabbitMqServer::shared().await.url();
    let node = Node::start(config(&url, "logs-3")).await;
    let other = other_program(&url).await;
    let channel = other.create_channel().await.unwrap();
    let queue = channel.queue_declare(
        "".into(),
        QueueDeclareOptions::exclusive(),
        FieldTable::default(),
    );
    let queue = queue.await.unwrap().name().clone();
    let bound = channel.queue_bind(
        queue.clone(),
        "logs-3.events".into(),
        "thread.*".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.unwrap();
    let mut heard = channel
        .basic_consume(
            queue,
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    node.publish(1).await.unwrap();
    let came = heard.next().await.unwrap().unwrap();
    assert_eq!(came.routing_key.as_str(), CHANNEL);
    let told = fanfare::Event::decode(came.data.into()).unwrap();
    assert_eq!(told.stamp(), event(1).stamp());
    for nonsense in [&b"nonsense"[..], b"", b"\0", b"\x01\x00"] {
        let published = channel.basic_publish(
            "logs-3.events".into(),
            CHANNEL.into(),
            BasicPublishOptions::default(),
            nonsense,
            BasicProperties::default(),
        );
        published.await.unwrap();
    }
    let before = node.last().offset;
    until("nonsense is covered", || node.covered().to == before + 4).await;
    node.publish(2).await.unwrap();
    assert_eq!(node.numbers(), [1, 2]);
    assert_eq!(node.last().offset, before + 5);
    node.broker.shutdown().await;
}

#[tokio::test]
async fn a_log_that_was_deleted_is_made_anew_with_other_epochs() {
    let url = RabbitMqServer::shared().await.url();
    let config = config(&url, "logs-4");
    let one = Node::start(config.clone()).await;
    let two = Node::start(config.clone()).await;
    one.publish(1).await.unwrap();
    two.until_taken(1).await;
    let before = one.last();
    delete_log(&url, "logs-4").await;
    let published = one.get_through(2).await;
    for node in [&one, &two] {
        node.until_taken(2).await;
        assert_eq!(node.numbers(), [1, 2]);
        assert_ne!(node.last().epoch, before.epoch);
        assert_eq!(node.covered().epoch, node.last().epoch);
    }
    assert_eq!(one.last(), two.last());
    assert_eq!(published.position, Some(one.last()));
    let late = Node::start(config).await;
    assert_eq!(late.numbers(), [2]);
    assert_eq!(late.last(), one.last());
    for node in [&one, &two, &late] {
        node.broker.shutdown().await;
    }
}

/// Deletes the newest log of a cluster, by the list of them.
async fn delete_log(url: &str, cluster: &str) {
    let other = other_program(url).await;
    let channel = other.create_channel().await.unwrap();
    channel.basic_qos(10, Default::default()).await.unwrap();
    let mut first = FieldTable::default();
    first.insert(
        "x-stream-offset".into(),
        lapin::types::AMQPValue::LongString("first".into()),
    );
    let mut records = channel
        .basic_consume(
            format!("{cluster}.logs").into(),
            "".into(),
            BasicConsumeOptions::default(),
            first,
        )
        .await
        .unwrap();
    let record = records.next().await.unwrap().unwrap();
    let record = String::from_utf8(record.data).unwrap();
    let id = record.split(' ').nth(1).unwrap();
    let log = format!("{cluster}.events.{id}");
    channel
        .queue_delete(log.into(), QueueDeleteOptions::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_trimmed_while_a_node_was_away_is_not_covered() {
    let url = RabbitMqServer::shared().await.url();
    let config = Config {
        max_bytes: 200_000,
        segment_bytes: 50_000,
        ..config(&url, "logs-5")
    };
    let proxy = Proxy::start(&config).await;
    let near = Node::start(config.clone()).await;
    let away = Node::start(Config {
        port: proxy.address.port(),
        ..config
    })
    .await;
    near.publish(1).await.unwrap();
    away.until_taken(1).await;
    let before = away.covered();
    proxy.cut();
    away.until_up(false).await;
    for number in 2..=200 {
        near.broker.publish(sized(number, 10_000)).await.unwrap();
        // Retention follows the files, which are ended a moment after they are full.
        sleep(Duration::from_millis(2)).await;
    }
    proxy.mend();
    away.until_up(true).await;
    near.publish(201).await.unwrap();
    away.until_taken(201).await;
    let covered = away.covered();
    assert_eq!(covered.epoch, before.epoch);
    // Some of it may be trimmed while it is read, too.
    let mut whole = away.taken();
    whole.retain(|seen| seen.position.unwrap().offset >= covered.from);
    let whole = whole.iter().map(|seen| seen.event.stamp().unwrap().number);
    let whole = whole.collect::<Vec<_>>();
    assert!(whole[0] > 2, "something was trimmed");
    assert_eq!(whole, (whole[0]..=201).collect::<Vec<_>>());
    assert_eq!(away.last(), near.last());
    near.broker.shutdown().await;
    away.broker.shutdown().await;
}
