//! Events on their way to the topics that backend services read, on each engine.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

mod outage;
mod reader;
mod site;

use std::time::{Duration, Instant};

use fanfare::{ErrorKind, Guarantee};
use fanfare_test_servers::{Kafka, Nats, RabbitMq};
use fanfare_tests::until;
use futures_util::stream::{FuturesOrdered, StreamExt};

use self::reader::Reader;
use self::site::{AUDIT, ORDERS, Site, connect, event, services};

const PATIENCE: Duration = Duration::from_secs(60);

/// Clients and topics get what is theirs; `refusing` names a topic that the server does not have.
async fn both_get_theirs(url: &str, refusing: Option<&'static [&'static str]>) {
    let engine = connect(url).await;
    let orders = Reader::start(url, ORDERS).await;
    let audit = Reader::start(url, AUDIT).await;
    let site = Site::start(engine, None, |_| {}).await;
    let clients = site.listen().await;
    for id in 0..300 {
        let topics = if id % 3 == 0 {
            &[ORDERS, AUDIT][..]
        } else {
            &[ORDERS]
        };
        let mut services = services(id, topics);
        if id % 10 == 0 {
            services.only = true;
        }
        if id % 5 == 0 {
            services.payload = Some(format!(r#"{{"id":{id},"secret":"s"}}"#).into());
        }
        let published = site.node.publish(event(id).for_services(services)).await;
        assert_eq!(published.unwrap().position.is_none(), id % 10 == 0);
    }
    // Whatever is live only is nobody's work.
    let live = event(300).with_guarantee(Guarantee::Ephemeral);
    let live = live.for_services(services(300, &[ORDERS]));
    site.node.publish(live).await.unwrap();
    if let Some(topic) = refusing {
        let refused = event(301).for_services(services(301, topic));
        let refused = site.node.publish(refused).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Internal, "{refused}");
        assert!(refused.message().contains("refused"), "{refused}");
        assert!(site.node.sink_status().unwrap().is_up);
    }
    let last = event(302).for_services(services(302, &[ORDERS, AUDIT]));
    site.node.publish(last).await.unwrap();
    let expected = (0..300).filter(|id| id % 10 != 0).chain([300]);
    let expected = expected.chain(refusing.map(|_| 301)).chain([302]);
    clients.until_all(expected.collect(), PATIENCE).await;
    let records = orders.until_all((0..300).chain([302]).collect()).await;
    for record in &records {
        let id = record.id.parse::<u64>().unwrap();
        assert_eq!(record.key, site::channel(id).as_str());
        let secret = if id % 5 == 0 && id < 300 {
            r#","secret":"s""#
        } else {
            ""
        };
        assert_eq!(record.payload, format!(r#"{{"id":{id}{secret}}}"#));
    }
    let third = (0..300).filter(|id| id % 3 == 0).chain([302]);
    audit.until_all(third.collect()).await;
    one_busy_channel(&site, url, &orders).await;
    site.node.drain().await;
}

/// How fast the records of one key go.
async fn one_busy_channel(site: &Site, url: &str, orders: &Reader) {
    let begun = Instant::now();
    let ids = (1_000..2_000).step_by(site::CHANNELS as usize);
    let mut publishing = ids
        .clone()
        .map(|id| {
            let event = event(id).for_services(services(id, &[ORDERS]));
            site.node.publish(event)
        })
        .collect::<FuturesOrdered<_>>();
    while let Some(outcome) = publishing.next().await {
        outcome.unwrap();
    }
    let rate = ids.clone().count() as f64 / begun.elapsed().as_secs_f64();
    let scheme = url.split_once(':').unwrap().0;
    eprintln!("{scheme}: {rate:.0} records/s of one key");
    orders.until_all(ids.collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_has_what_is_for_services() {
    both_get_theirs(&Nats::shared().await.url(), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_has_what_is_for_services() {
    let url = format!("{}?exchange=shop", RabbitMq::shared().await.url());
    both_get_theirs(&url, Some(&["nobody.reads"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_has_what_is_for_services() {
    both_get_theirs(&Kafka::shared().await.url(), Some(&["no topic"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_sink_topics_are_left_out() {
    let site = Site::without_sink().await;
    let clients = site.listen().await;
    for id in 0..10 {
        let mut services = services(id, &[ORDERS]);
        services.only = id % 2 == 0;
        let published = site.node.publish(event(id).for_services(services)).await;
        assert_eq!(published.unwrap().position.is_none(), id % 2 == 0);
    }
    clients
        .until_all((0..10).filter(|id| id % 2 == 1).collect(), PATIENCE)
        .await;
    assert!(site.node.sink_status().is_none());
    assert!(site.health().await.get("topics").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_disk_nothing_is_accepted_that_the_topics_cannot_have() {
    let mut server = Nats::start().await;
    let engine = connect(&server.url()).await;
    let orders = Reader::start(&server.url(), ORDERS).await;
    let site = Site::start(engine, None, |_| {}).await;
    let clients = site.listen().await;
    let publish = async |id: u64| {
        let event = event(id).for_services(services(id, &[ORDERS]));
        site.node.publish(event).await
    };
    publish(0).await.unwrap();
    server.kill().await;
    until("it is known to be away", PATIENCE, async || {
        (!site.node.sink_status().unwrap().is_up).then_some(())
    })
    .await;
    assert_eq!(site.health().await["status"], "degraded");
    assert_eq!(site.health().await["topics"]["up"], false);
    assert_eq!(site.status("/ready").await, 200);
    for id in 1..20 {
        let begun = Instant::now();
        let refused = publish(id).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
        assert!(refused.retry_delay().is_some());
        assert!(begun.elapsed() < Duration::from_millis(500), "at once");
        // All or nothing.
        let batch = [
            event(id),
            event(id + 20).for_services(services(id, &[ORDERS])),
        ];
        site.node.publish_all(batch.into()).await.unwrap_err();
    }
    // What no service wants is not held up by it.
    site.node.publish(event(100)).await.unwrap();
    server.start_again().await;
    until("it is back", PATIENCE, async || publish(101).await.ok()).await;
    let clients = clients.until_all([0, 100, 101].into(), PATIENCE).await;
    assert_eq!(clients, [0, 100, 101], "nothing that was refused");
    let records = orders.until_all([0, 101].into()).await;
    assert_eq!(records.len(), 2, "{records:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_on_disk_is_sent_by_the_nodes_next_life() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Nats::start().await;
    let engine = connect(&server.url()).await;
    let orders = Reader::start(&server.url(), ORDERS).await;
    let site = Site::start(engine, Some(folder.path()), |_| {}).await;
    server.kill().await;
    for id in 0..100 {
        let event = event(id).for_services(services(id, &[ORDERS]));
        site.node.publish(event).await.unwrap();
    }
    assert_eq!(site.health().await["topics"]["spilled"], 100);
    site.end().await;
    server.start_again().await;
    let engine = connect(&server.url()).await;
    let site = Site::start(engine, Some(folder.path()), |_| {}).await;
    let event = event(100).for_services(services(100, &[ORDERS]));
    site.node.publish(event).await.unwrap();
    let records = orders.until_all((0..=100).collect()).await;
    site::assert_in_order(&records);
    assert_eq!(site.health().await["topics"]["spilled"], 0);
}
