//! How a node starts, and why it does not.

use std::time::Duration;

use fanfare::testing::broker::Recorder;
use fanfare::{Broker, BrokerErrorKind};
use fanfare_brokers::fan_out::rabbitmq::{Config, RabbitMq};
use fanfare_test_servers::RabbitMq as RabbitMqServer;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::node::{Node, chain, config, event, sized, until};
use crate::proxy::Proxy;

async fn refused(config: Config) -> (BrokerErrorKind, String) {
    let broker = RabbitMq::new(config).unwrap();
    let begun = Instant::now();
    let started = broker.start(Recorder::new().ingress()).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "it says so in time"
    );
    let error = started.unwrap_err();
    assert!(!broker.is_up());
    (error.kind(), chain(&error))
}

#[tokio::test]
async fn without_a_server_it_says_where_none_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (kind, sentence) = refused(Config {
        port,
        ..Config::default()
    })
    .await;
    assert_eq!(kind, BrokerErrorKind::Unavailable);
    assert_eq!(
        sentence,
        format!(
            "the broker is not available: RabbitMQ at 127.0.0.1:{port} cannot be connected to: \
             Connection refused (os error 111)"
        )
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (kind, sentence) = refused(Config {
        port,
        ..Config::default()
    })
    .await;
    assert_eq!(kind, BrokerErrorKind::Unavailable);
    let expected = format!("RabbitMQ at 127.0.0.1:{port} does not answer");
    assert!(sentence.ends_with(&expected), "{sentence}");
    // The client library's thread ends with the connection.
    let (mut client, _) = listener.accept().await.unwrap();
    let mut said = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut client, &mut said);
    tokio::time::timeout(Duration::from_secs(2), read)
        .await
        .expect("the connection is closed")
        .unwrap();
    assert_eq!(said, b"AMQP\0\0\x09\x01");
}

#[tokio::test]
async fn what_the_server_refuses_is_not_tried_again() {
    let url = RabbitMqServer::shared().await.url();
    let (kind, sentence) = refused(Config {
        password: "hidden".to_owned(),
        ..config(&url, "starting-1")
    })
    .await;
    assert_eq!(kind, BrokerErrorKind::Rejected);
    assert!(
        sentence.contains("lets nobody in as \"guest\": ACCESS_REFUSED"),
        "{sentence}"
    );
    assert!(!sentence.contains("hidden"), "{sentence}");
    let (kind, sentence) = refused(Config {
        vhost: "nowhere".to_owned(),
        ..config(&url, "starting-1")
    })
    .await;
    assert_eq!(kind, BrokerErrorKind::Rejected);
    assert!(sentence.contains("vhost nowhere not found"), "{sentence}");
}

#[tokio::test]
async fn a_broker_is_started_once() {
    let url = RabbitMqServer::shared().await.url();
    let node = Node::start(config(&url, "starting-2")).await;
    let again = node.broker.start(node.seen.ingress()).await.unwrap_err();
    assert_eq!(again.kind(), BrokerErrorKind::Rejected);
    assert!(node.broker.is_up());
    node.broker.shutdown().await;
}

#[tokio::test]
async fn one_that_was_never_started_is_not_there() {
    let broker = RabbitMq::new(Config::default()).unwrap();
    assert!(!broker.is_up());
    let refused = broker.publish(event(1)).await.unwrap_err();
    assert_eq!(refused.kind(), BrokerErrorKind::Unavailable);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_agree_on_one_log() {
    let url = RabbitMqServer::shared().await.url();
    let config = config(&url, "starting-3");
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..8 {
        starting.spawn(Node::start(config.clone()));
    }
    let nodes = starting.join_all().await;
    let published = nodes[0].publish(1).await.unwrap();
    for node in &nodes {
        node.until_taken(1).await;
        assert_eq!(Some(node.last()), published.position);
        assert_eq!(node.taken().len(), 1);
    }
    for node in &nodes {
        node.broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_goes_on_where_a_connection_was_lost() {
    let url = RabbitMqServer::shared().await.url();
    let mut config = config(&url, "starting-5");
    let early = Node::start(config.clone()).await;
    let mut under_way = Vec::new();
    for number in 1..=5_000 {
        under_way.push(early.broker.publish(sized(number, 1_000)));
    }
    for publishing in under_way {
        publishing.await.unwrap();
    }
    let proxy = Proxy::start(&config).await;
    config.port = proxy.address.port();
    let late = Node {
        broker: RabbitMq::new(config).unwrap(),
        seen: Recorder::new(),
    };
    let cut = async {
        until("reading back has begun", || !late.taken().is_empty()).await;
        proxy.cut();
        let taken = late.taken().len();
        assert!(taken < 5_000, "reading back goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
        proxy.mend();
    };
    let (started, ()) = tokio::join!(late.broker.start(late.seen.ingress()), cut);
    started.unwrap();
    assert_eq!(late.numbers(), (1..=5_000).collect::<Vec<_>>());
    assert_eq!(late.covered().from, early.covered().from);
    early.broker.shutdown().await;
    late.broker.shutdown().await;
}

#[tokio::test]
async fn a_broker_that_is_dropped_disconnects() {
    let url = RabbitMqServer::shared().await.url();
    let mut config = config(&url, "starting-4");
    let proxy = Proxy::start(&config).await;
    config.port = proxy.address.port();
    let node = Node::start(config).await;
    assert_eq!(proxy.connections(), 1);
    drop(node);
    until("no connection is left", || proxy.connections() == 0).await;
}
