//! The server of the topics killed, or stopped in its tracks, under load.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fanfare::{ErrorKind, Node, Published};
use fanfare_brokers::fan_out::jetstream::JetStream;
use fanfare_test_servers::{Broker, KafkaServer, Nats, NatsServer, RabbitMqServer, Server};
use fanfare_tests::until;
use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::reader::Reader;
use crate::site::{Client, ORDERS, Site, assert_in_order, connect, event, services};

/// 200 a second.
const BETWEEN: Duration = Duration::from_millis(5);
const CALM: Duration = Duration::from_secs(4);
const OUTAGE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    Killed,
    Paused,
}

/// One publication: when, and how long its publisher waited.
struct Sent {
    id: u64,
    at: Instant,
    answered: Duration,
    outcome: Result<Published, fanfare::Error>,
}

/// Publishes events until told to stop, without waiting for the answer to the one before.
async fn publish(node: &Node, stop: impl Future<Output = ()>) -> Vec<Sent> {
    let mut tick = interval(BETWEEN);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = FuturesOrdered::new();
    let mut sent = Vec::new();
    let mut stop = std::pin::pin!(stop);
    let mut ids = 0..;
    loop {
        tokio::select! {
            biased;
            Some(answered) = under_way.next() => sent.push(answered),
            () = &mut stop => break,
            _ = tick.tick() => {
                let id = ids.next().unwrap();
                let event = event(id).for_services(services(id, &[ORDERS]));
                under_way.push_back(Box::pin(async move {
                    let at = Instant::now();
                    let outcome = node.publish(event).await;
                    Sent { id, at, answered: at.elapsed(), outcome }
                }));
            }
        }
    }
    while let Some(answered) = under_way.next().await {
        sent.push(answered);
    }
    sent
}

/// The 50th and 99th percentile, and the longest, of how long events took to a client that were
/// published in a time.
fn latencies(sent: &[Sent], client: &Client, from: Instant, to: Instant) -> [Duration; 3] {
    let arrivals = client.arrivals();
    let within = sent.iter().filter(|sent| (from..to).contains(&sent.at));
    let times = within.map(|sent| arrivals[&sent.id] - sent.at);
    let mut times = times.collect::<Vec<_>>();
    times.sort_unstable();
    assert!(times.len() > 400, "{} events", times.len());
    [times.len() / 2, times.len() * 99 / 100, times.len() - 1].map(|at| times[at])
}

async fn run<B: Broker>(blow: Blow, query: &str) {
    let mut server = Server::<B>::start().await;
    let url = format!("{}{query}", server.url());
    let folder = tempfile::tempdir().unwrap();
    Reader::start(&url, ORDERS).await.stop().await;
    let site = Site::start(connect(&url).await, Some(folder.path()), |_| {}).await;
    let client = site.listen().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let scenario = async {
        sleep(CALM).await;
        let begun = Instant::now();
        match blow {
            Blow::Killed => server.kill().await,
            Blow::Paused => server.pause(),
        }
        sleep(OUTAGE).await;
        let health = site.health().await;
        assert_eq!(health["status"], "degraded");
        assert!(
            health["topics"]["spilled"].as_u64().unwrap() > 100,
            "{health}"
        );
        let ended = Instant::now();
        match blow {
            Blow::Killed => server.start_again().await,
            Blow::Paused => server.resume(),
        }
        until("what was kept is sent", PATIENCE, async || {
            let status = site.node.sink_status().unwrap();
            (status.is_up && status.spilled == 0).then_some(())
        })
        .await;
        sleep(Duration::from_secs(1)).await;
        stop.send(()).unwrap();
        (begun, ended)
    };
    let begun = Instant::now();
    let publishing = publish(&site.node, async {
        let _ = stopped.await;
    });
    let (sent, (blow_at, ended)) = tokio::join!(publishing, Box::pin(scenario));
    let ids = sent.iter().map(|sent| sent.id).collect::<Vec<_>>();
    client.until_all(ids.clone(), PATIENCE).await;
    let before = latencies(&sent, &client, begun, blow_at);
    let during = latencies(&sent, &client, blow_at, ended);
    let waited = sent.iter().map(|sent| sent.answered).max().unwrap();
    let refused = sent.iter().filter(|sent| sent.outcome.is_err()).count();
    let reader = Reader::start(&url, ORDERS).await;
    let records = reader.until_all(ids).await;
    let copies = reader.count() - records.len();
    eprintln!(
        "{} {blow:?}: {} events; to clients (p50, p99, longest) before {before:.1?}, during \
         {during:.1?}; publishers waited {waited:.1?} at most, {refused} refused; {copies} copies",
        B::NAME,
        sent.len(),
    );
    assert_eq!(refused, 0);
    // Nobody waited for the topics: what a client waits for otherwise is the machine's affair.
    assert!(during[2] < Duration::from_secs(2), "{during:?}");
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    assert_in_order(&records);
    let distinct = records
        .iter()
        .map(|record| &record.id)
        .collect::<BTreeSet<_>>();
    assert_eq!((distinct.len(), records.len()), (sent.len(), sent.len()));
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_killed() {
    run::<NatsServer>(Blow::Killed, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_paused() {
    run::<NatsServer>(Blow::Paused, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_killed() {
    run::<RabbitMqServer>(Blow::Killed, "?exchange=shop").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_paused() {
    run::<RabbitMqServer>(Blow::Paused, "?exchange=shop").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_killed() {
    run::<KafkaServer>(Blow::Killed, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_paused() {
    run::<KafkaServer>(Blow::Paused, "").await;
}

/// Topics that are away for long take no room that the broker's outage needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spill_refuses_and_leaves_the_broker_its_own() {
    let (mut topics, mut between) = tokio::join!(Nats::start(), Nats::start());
    let folder = tempfile::tempdir().unwrap();
    let orders = Reader::start(&topics.url(), ORDERS).await;
    let broker = between.url().replace("nats://", "nats+jetstream://");
    let builder = Node::builder()
        .broker(JetStream::from_url(&broker).unwrap())
        .sink(connect(&topics.url()).await);
    let config = |config: &mut fanfare::Config| config.buffers.topics_spill = 20_000;
    let site = Site::build(builder, Some(folder.path()), config).await;
    let client = site.listen().await;
    topics.kill().await;
    let publish = async |id| {
        let event = event(id).for_services(services(id, &[ORDERS]));
        site.node.publish(event).await
    };
    let mut accepted = Vec::new();
    let mut ids = 0..1_000;
    let refused = loop {
        let id = ids.next().expect("it is full at some time");
        match publish(id).await {
            Ok(_) => accepted.push(id),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(refused.retry_delay().is_some());
    assert!(accepted.len() > 50, "{}", accepted.len());
    between.kill().await;
    until("the broker is known to be away", PATIENCE, async || {
        (!site.node.broker_is_up()).then_some(())
    })
    .await;
    let kept = ids.start..ids.start + 500;
    for id in kept.clone() {
        site.node.publish(event(id)).await.unwrap();
    }
    let status = site.node.sink_status().unwrap();
    assert_eq!(status.spilled as usize, accepted.len());
    tokio::join!(topics.start_again(), between.start_again());
    let records = orders.until_all(accepted.clone()).await;
    assert_in_order(&records);
    assert_eq!(records.len(), accepted.len(), "nothing that was refused");
    client
        .until_all(accepted.into_iter().chain(kept).collect(), PATIENCE)
        .await;
}
