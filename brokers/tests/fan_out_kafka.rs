//! Kafka as a broker of nodes, against real servers.
#![cfg(feature = "kafka")]
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

mod kafka_nodes;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare::broker::{Broker, BrokerErrorKind};
use fanfare::testing::broker::{Plan, Recorder, Server, check_all, check_outage};
use fanfare::{BoxFuture, Channel, Event, Guarantee};
use fanfare_brokers::fan_out::kafka::{Config, Kafka};
use fanfare_test_servers::Kafka as KafkaServer;
use tokio::sync::Mutex;
use tokio::time::sleep;

use kafka_nodes::{Admin, Listener, Node, PATIENCE, broker, event};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_what_every_broker_promises() {
    let server = KafkaServer::shared().await;
    let url = server.url();
    let attach = async |cluster: &str| broker(&url, cluster);
    check_all(attach, &Plan::default()).await;
}

struct Killed(Mutex<KafkaServer>);

impl Server for Killed {
    fn kill(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.0.lock().await.kill().await })
    }

    fn start(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.0.lock().await.start_again().await })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_survives_the_end_of_its_server() {
    let server = KafkaServer::start().await;
    let url = server.url();
    let server = Killed(Mutex::new(server));
    let attach = async |cluster: &str| broker(&url, cluster);
    let plan = Plan {
        patience: Duration::from_secs(40),
        ..Plan::default()
    };
    check_outage(attach, &server, Duration::from_secs(3), &plan).await;
}

#[tokio::test]
async fn no_server_is_said_in_time() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let broker = broker(&format!("kafka://{address}"), "nobody");
    let begun = Instant::now();
    let error = broker.start(Recorder::new().ingress()).await.unwrap_err();
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
    let sentence = error.source().unwrap().to_string();
    assert!(
        sentence.starts_with(&format!("no Kafka answers at {address}: ")),
        "{sentence}"
    );
    assert!(sentence.contains("Connection refused"), "{sentence}");
    assert!(!broker.is_up());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_noticed_and_forgiven() {
    let mut server = KafkaServer::start().await;
    let node = Node::start(&server.url(), "still").await;
    node.send("thread.1", 1..=20).await;
    server.pause();
    let paused = Instant::now();
    let stuck = (21..=40).map(|number| node.broker.publish(event("thread.1", number)));
    let stuck = stuck.collect::<Vec<_>>();
    for publishing in stuck {
        let failed = publishing.await.unwrap_err();
        assert_eq!(failed.kind(), BrokerErrorKind::Unavailable);
    }
    let noticed = paused.elapsed();
    assert!(
        noticed < Duration::from_millis(2_800),
        "noticed after {noticed:?}"
    );
    assert!(!node.broker.is_up());
    let refused = node
        .broker
        .publish(event("thread.1", 21))
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), BrokerErrorKind::Unavailable);
    sleep(Duration::from_secs(4).saturating_sub(paused.elapsed())).await;
    server.resume();
    node.up().await;
    node.send("thread.1", 21..=60).await;
    node.saw("thread.1", 1..=60).await;
    node.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_made_anew_has_new_epochs() {
    let server = KafkaServer::shared().await;
    let nodes = [
        Node::start(&server.url(), "anew").await,
        Node::start(&server.url(), "anew").await,
    ];
    nodes[0].send("thread.1", 1..=30).await;
    for node in &nodes {
        node.saw("thread.1", 1..=30).await;
    }
    let before = nodes[0].covered("thread.1");
    assert_eq!(before, nodes[1].covered("thread.1"));
    let admin = Admin::new(&server.url());
    admin.delete("anew.events").await;
    for node in &nodes {
        node.until("a new epoch", || {
            node.covered("thread.1").epoch != before.epoch
        })
        .await;
        node.up().await;
    }
    // The two may have made different ones for a moment, had they not agreed.
    assert_eq!(
        nodes[0].covered("thread.1").epoch,
        nodes[1].covered("thread.1").epoch
    );
    nodes[1].send("thread.1", 31..=40).await;
    for node in &nodes {
        node.saw("thread.1", 1..=40).await;
        let covered = node.covered("thread.1");
        assert_eq!((covered.from, covered.to), (1, 10));
        assert_ne!(covered.epoch, before.epoch);
    }
    let late = Node::start(&server.url(), "anew").await;
    late.saw("thread.1", 31..=40).await;
    assert_eq!(late.covered("thread.1"), nodes[0].covered("thread.1"));
    admin.delete("anew.live").await;
    sleep(Duration::from_secs(2)).await;
    let until = Instant::now() + PATIENCE;
    let live = |node: &Node| !node.seen.of("live.1").is_empty();
    while !nodes.iter().all(live) {
        assert!(Instant::now() < until, "nothing is live");
        let event = event("live.1", 1).with_guarantee(Guarantee::Ephemeral);
        // While the topic is being made anew it fails.
        let _ = nodes[0].broker.publish(event).await;
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_trimmed_while_a_node_was_away_is_read_from_its_new_beginning() {
    let mut server = KafkaServer::start().await;
    let away = Listener::add(&mut server, "PLAINTEXT", "").await;
    let near = Node::start(&server.url(), "trimmed").await;
    let far = Node::start(&away.url(), "trimmed").await;
    near.send("thread.1", 1..=50).await;
    far.saw("thread.1", 1..=50).await;
    let before = far.covered("thread.1");
    assert_eq!((before.from, before.to), (1, 50));
    away.cut();
    far.down().await;
    near.send("thread.1", 51..=100).await;
    let partition = Channel::new("thread.1").unwrap().lane() % 8;
    Admin::new(&server.url())
        .trim("trimmed.events", partition, 80)
        .await;
    near.send("thread.1", 101..=110).await;
    away.restore();
    far.up().await;
    far.send("thread.1", 111..=120).await;
    far.until("the rest", || far.covered("thread.1").to == 120)
        .await;
    let covered = far.covered("thread.1");
    assert_eq!((covered.epoch, covered.from), (before.epoch, 81));
    let seen = far.offsets("thread.1");
    assert_eq!(seen, (1..=50).chain(81..=120).collect::<Vec<_>>());
    near.saw("thread.1", 1..=120).await;
    assert_eq!(near.covered("thread.1").from, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lost_its_end_has_new_epochs() {
    let mut server = KafkaServer::start().await;
    let nodes = [
        Node::start(&server.url(), "short").await,
        Node::start(&server.url(), "short").await,
    ];
    for number in 1..=30 {
        nodes[0].send("thread.1", number..=number).await;
    }
    for node in &nodes {
        node.saw("thread.1", 1..=30).await;
    }
    let before = nodes[0].covered("thread.1");
    server.kill().await;
    // As if the machine had lost its power before the last of the log was synced.
    let partition = Channel::new("thread.1").unwrap().lane() % 8;
    let folder = server
        .folder()
        .join(format!("data/short.events-{partition}"));
    let log = folder.join("00000000000000000000.log");
    let length = std::fs::metadata(&log).unwrap().len();
    let file = std::fs::OpenOptions::new().write(true).open(&log).unwrap();
    file.set_len(length * 2 / 3).unwrap();
    server.start_again().await;
    for node in &nodes {
        node.until("a new epoch", || {
            node.covered("thread.1").epoch != before.epoch
        })
        .await;
        node.up().await;
    }
    // Both, and those that come later, are of one mind in the end.
    sleep(Duration::from_secs(7)).await;
    let late = Node::start(&server.url(), "short").await;
    let kept = late.numbers("thread.1").len() as u64;
    late.saw("thread.1", 1..=kept).await;
    assert!((1..30).contains(&kept), "{kept} events are left of 30");
    late.send("thread.1", 31..=40).await;
    let covered = late.covered("thread.1");
    assert_ne!(covered.epoch, before.epoch);
    for node in [&nodes[0], &nodes[1]] {
        node.saw("thread.1", 1..=40).await;
        let offsets = node.offsets("thread.1");
        let expected = (1..=30).chain(kept + 1..=kept + 10);
        assert_eq!(offsets, expected.collect::<Vec<_>>());
        // What it had been handed before has positions of before.
        let own = node.covered("thread.1");
        assert_eq!((own.epoch, own.from), (covered.epoch, kept + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_others_made_are_taken_as_they_are() {
    let server = KafkaServer::shared().await;
    let admin = Admin::new(&server.url());
    admin.create("others.events", 4).await;
    let nodes = [
        Node::start(&server.url(), "others").await,
        Node::start(&server.url(), "others").await,
    ];
    for number in 0..8 {
        nodes[0].send(&format!("thread.{number}"), 1..=5).await;
    }
    for number in 0..8 {
        let channel = format!("thread.{number}");
        for node in &nodes {
            node.saw(&channel, 1..=5).await;
        }
        assert_eq!(
            nodes[0].covered(&channel).epoch,
            nodes[1].covered(&channel).epoch
        );
        assert_eq!(nodes[0].offsets(&channel), nodes[1].offsets(&channel));
    }
    admin.create("odd.events", 5).await;
    let odd = broker(&server.url(), "odd");
    let refused = odd.start(Recorder::new().ingress()).await.unwrap_err();
    assert_eq!(refused.kind(), BrokerErrorKind::Rejected);
    let sentence = refused.source().unwrap().to_string();
    assert_eq!(
        sentence,
        "the topic odd.events has 5 partitions, which is no divisor of 32"
    );
    let many = Kafka::from_url(&format!("{}?cluster=many&replication=3", server.url())).unwrap();
    let refused = many.start(Recorder::new().ingress()).await.unwrap_err();
    assert_eq!(refused.kind(), BrokerErrorKind::Rejected);
    let sentence = refused.source().unwrap().to_string();
    assert!(
        sentence.starts_with("Kafka does not create the topic many.events: "),
        "{sentence}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_is_skipped() {
    let server = KafkaServer::shared().await;
    let node = Node::start(&server.url(), "noise").await;
    node.send("thread.1", 1..=1).await;
    let partition = Channel::new("thread.1").unwrap().lane() % 8;
    let admin = Admin::new(&server.url());
    admin.write("noise.events", partition, b"noise").await;
    // An event, but of a channel whose lane is elsewhere.
    let elsewhere = (0..99).map(|number| event(&format!("user.{number}"), 1));
    let elsewhere = elsewhere.filter(|event| event.channel().lane() % 8 != partition);
    let elsewhere = elsewhere.into_iter().next().unwrap();
    admin
        .write("noise.events", partition, &elsewhere.encode())
        .await;
    admin.write("noise.live", 0, b"").await;
    node.send("thread.1", 2..=2).await;
    node.saw("thread.1", 1..=2).await;
    assert_eq!(node.offsets("thread.1"), [1, 4]);
    assert_eq!(node.seen.of(elsewhere.channel().as_str()).len(), 0);
    node.until("all of it", || node.covered("thread.1").to == 4)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_are_those_that_publishers_are_told() {
    let server = KafkaServer::shared().await;
    let node = Node::start(&server.url(), "told").await;
    let mut told = Vec::new();
    for number in 1..=20 {
        let published = node
            .broker
            .publish(event("thread.1", number))
            .await
            .unwrap();
        told.push(published.position.unwrap());
    }
    node.saw("thread.1", 1..=20).await;
    let seen = node.seen.of("thread.1");
    let seen = seen.iter().map(|seen| seen.position.unwrap());
    assert_eq!(seen.collect::<Vec<_>>(), told);
    let live = event("thread.1", 21).with_guarantee(Guarantee::Ephemeral);
    assert_eq!(node.broker.publish(live).await.unwrap().position, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_for_good() {
    let server = KafkaServer::shared().await;
    let node = Node::start(&server.url(), "large").await;
    let payload = format!("\"{}\"", "x".repeat(1_100_000));
    let large = Event::new(Channel::new("thread.1").unwrap(), "large", payload).unwrap();
    let refused = node.broker.publish(large).await.unwrap_err();
    assert_eq!(refused.kind(), BrokerErrorKind::Rejected, "{refused:?}");
    node.send("thread.1", 1..=1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_reads_back_as_far_as_it_is_told_to() {
    let server = KafkaServer::shared().await;
    let first = Node::start(&server.url(), "back").await;
    first.send("thread.1", 1..=50).await;
    let mut config = Config::from_url(&format!("{}?cluster=back", server.url())).unwrap();
    config.read_back = 8 * 10;
    let late = Node::attach(Kafka::new(config).unwrap()).await;
    assert_eq!(late.offsets("thread.1"), (41..=50).collect::<Vec<_>>());
    let covered = late.covered("thread.1");
    assert_eq!((covered.from, covered.to), (41, 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_asked_for() {
    let mut server = KafkaServer::start().await;
    let guarded = Listener::add(
        &mut server,
        "SASL_PLAINTEXT",
        "sasl.enabled.mechanisms=PLAIN\nlistener.name.added.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_alice=\"s3cr:t\";\n",
    )
    .await;
    let url = |password: &str| {
        guarded
            .url()
            .replace("://", &format!("://alice:{password}@"))
    };
    let node = Node::start(&url("s3cr%3At"), "guarded").await;
    node.send("thread.1", 1..=3).await;
    node.saw("thread.1", 1..=3).await;
    let begun = Instant::now();
    let wrong = broker(&url("wr0ng"), "guarded");
    let error = wrong.start(Recorder::new().ingress()).await.unwrap_err();
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
    let sentence = error.source().unwrap().to_string();
    assert!(sentence.contains("Authentication failed"), "{sentence}");
    assert!(!format!("{wrong:?} {error:?} {sentence}").contains("wr0ng"));
}

#[test]
fn a_broker_that_is_dropped_leaves_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
    let tasks = || runtime.metrics().num_alive_tasks();
    let seen = runtime.block_on(async {
        let server = KafkaServer::start().await;
        let before = tasks();
        let node = Node::start(&server.url(), "dropped").await;
        assert!(tasks() > before);
        let Node { broker, seen } = node;
        drop(broker);
        let until = Instant::now() + PATIENCE;
        // The reader holds an ingress, and so the recorder.
        while tasks() > before || Arc::strong_count(&seen) > 1 {
            assert!(
                Instant::now() < until,
                "{} tasks, {} holders",
                tasks(),
                Arc::strong_count(&seen)
            );
            sleep(Duration::from_millis(20)).await;
        }
        seen
    });
    assert_eq!(seen.all().len(), 0);
}
