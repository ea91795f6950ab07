//! Three nodes on each broker, as one.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fanfare_test_servers::{Broker, Kafka, Nats, RabbitMq, Server as Process};
use fanfare_tests::mechamap::urgent_comment;
use fanfare_tests::server::Launch;
use fanfare_tests::{Carrier, Follower, Server, Transport};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

const THREAD: u64 = 456;
/// The id of the last comment of all.
const LAST: u64 = 9_000_000;
const CONFIG: &str = "
    limits = { connections_per_user = 10000 }
    history = { events = 1000000, bytes = 1073741824 }
";
/// Of each node; 500 a second in all.
const BETWEEN: Duration = Duration::from_millis(6);
const PATIENCE: Duration = Duration::from_secs(60);

/// Three servers on one broker.
async fn three(url: &str, history: Option<&Path>) -> Vec<Server> {
    let mut nodes = Vec::new();
    for number in 0..3 {
        let mut launch = Launch::mechamap()
            .config(CONFIG)
            .argument("--broker")
            .argument(url);
        if let Some(folder) = history {
            let folder = folder.join(number.to_string());
            launch = launch
                .argument("--history")
                .argument(format!("file:{}", folder.display()));
        }
        nodes.push(launch.start().await);
    }
    for node in &nodes {
        wait_until("all nodes know of each other", async || {
            let health = node.http().get("/health", &[]).await.json();
            health["broker"]["nodes"] == 3
        })
        .await;
    }
    nodes
}

async fn wait_until(what: &str, holds: impl AsyncFn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Publishes comments on one node, whose ids tell the node, until told to stop. Returns the ids that
/// were accepted, in order; waits between, and after a refusal.
async fn publish(node: &Server, number: u64, stop: &AtomicBool) -> Vec<u64> {
    let mut accepted = Vec::new();
    let mut tick = interval(BETWEEN);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for id in 1.. {
        tick.tick().await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = number * 1_000_000 + id;
        let answer = node.post(urgent_comment(THREAD, id).to_string()).await;
        match answer.status.as_u16() {
            200 => accepted.push(id),
            503 => assert!(answer.headers.contains_key("retry-after"), "{answer:?}"),
            _ => panic!("{answer:?}"),
        }
    }
    accepted
}

/// Follows on one node after the other, with what it learned on the last, until it has seen all that
/// there will be.
async fn follow(
    transport: Transport,
    nodes: Vec<std::net::SocketAddr>,
    first: usize,
    every: usize,
) -> Follower {
    let mut follower = Follower::begin(nodes[first], 7, THREAD).await;
    follower.sparse = true;
    let all = |seen: &[u64]| seen.last() == Some(&LAST);
    for at in first.. {
        let begun = follower.seen.len();
        let address = nodes[at % nodes.len()];
        let enough = |seen: &[u64]| all(seen) || (every > 0 && seen.len() >= begun + every);
        // A cut is what one comes back from.
        if follower.follow(transport, address, enough).await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
        if all(&follower.seen) {
            break;
        }
    }
    follower
}

/// Clients of every transport: one that stays on each node, and one that moves on every so often.
fn audience(nodes: &[Server]) -> JoinSet<Follower> {
    let addresses = nodes.iter().map(Server::address).collect::<Vec<_>>();
    let mut audience = JoinSet::new();
    for transport in Transport::ALL {
        for first in 0..nodes.len() {
            audience.spawn(follow(transport, addresses.clone(), first, 0));
        }
        // A polling session of Engine.IO is its node's, and the client of these suites drops it
        // without a word.
        if transport != Transport::SocketIo(Carrier::Polling) {
            audience.spawn(follow(transport, addresses.clone(), 0, 97));
        }
    }
    audience
}

/// What all of them have seen, once they have seen all of it: the same, in one order.
async fn seen_by_all(mut audience: JoinSet<Follower>) -> Vec<u64> {
    let mut first: Option<Vec<u64>> = None;
    while let Some(follower) = timeout(PATIENCE * 2, audience.join_next()).await.unwrap() {
        let follower = follower.unwrap();
        assert_eq!(follower.losses, 0);
        let first = first.get_or_insert_with(|| follower.seen.clone());
        let differs = first.iter().zip(&follower.seen).position(|(a, b)| a != b);
        assert_eq!((differs, follower.seen.len()), (None, first.len()));
    }
    first.unwrap()
}

async fn run<B: Broker>(broker: &mut Process<B>, url: &str, outage: Option<Duration>) {
    let folder = tempfile::tempdir().unwrap();
    let history = outage.map(|_| folder.path());
    let nodes = three(url, history).await;
    let audience = audience(&nodes);
    sleep(Duration::from_secs(1)).await;
    let stop = AtomicBool::new(false);
    let scenario = async {
        sleep(Duration::from_secs(5)).await;
        if let Some(outage) = outage {
            let connections = connections(&nodes).await;
            broker.kill().await;
            sleep(outage).await;
            for node in &nodes {
                let health = node.http().get("/health", &[]).await.json();
                assert_eq!(health["status"], "degraded");
            }
            // Those who poll come and go.
            assert!(
                connections_of_websockets(&nodes).await >= 3.0,
                "clients stay: {connections}"
            );
            broker.start_again().await;
            sleep(Duration::from_secs(5)).await;
        }
        stop.store(true, Ordering::Relaxed);
    };
    let (a, b, c, ()) = tokio::join!(
        publish(&nodes[0], 1, &stop),
        publish(&nodes[1], 2, &stop),
        publish(&nodes[2], 3, &stop),
        Box::pin(scenario)
    );
    let accepted = [a, b, c];
    let count = accepted.iter().map(Vec::len).sum::<usize>();
    for node in &nodes {
        wait_until("what was kept is sent", async || {
            let health = node.http().get("/health", &[]).await.json();
            health["status"] == "healthy" && node.metric("fanfare_spilled_events").await == 0.0
        })
        .await;
    }
    nodes[0].publish(&urgent_comment(THREAD, LAST)).await;
    let seen = seen_by_all(audience).await;
    let distinct = seen.iter().collect::<HashSet<_>>();
    assert_eq!(distinct.len(), seen.len(), "nothing twice");
    for (number, accepted) in (1..).zip(&accepted) {
        let own = seen.iter().filter(|id| **id / 1_000_000 == number);
        let own = own.copied().collect::<Vec<_>>();
        assert!(own.is_sorted(), "in the order of publishing");
        let missing = accepted.iter().filter(|id| !distinct.contains(id)).count();
        assert_eq!(missing, 0, "accepted and lost, of {}", accepted.len());
    }
    eprintln!("{count} accepted, {} seen by everyone", seen.len());
}

async fn connections(nodes: &[Server]) -> f64 {
    let mut sum = 0.0;
    for node in nodes {
        sum += node.metric("fanfare_connections{").await;
    }
    sum
}

async fn connections_of_websockets(nodes: &[Server]) -> f64 {
    let mut sum = 0.0;
    for node in nodes {
        sum += node
            .metric("fanfare_connections{transport=\"websocket\"")
            .await;
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jetstream_gives_all_nodes_one_order_through_a_crash() {
    let mut nats = Nats::start().await;
    let url = nats.url().replace("nats://", "nats+jetstream://");
    run(&mut nats, &format!("{url}?cluster=order"), None).await;
    run(
        &mut nats,
        &format!("{url}?cluster=crash"),
        Some(Duration::from_secs(4)),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_gives_all_nodes_one_order_through_a_crash() {
    let mut kafka = Kafka::start().await;
    let url = kafka.url();
    run(&mut kafka, &format!("{url}?cluster=order"), None).await;
    run(
        &mut kafka,
        &format!("{url}?cluster=crash"),
        Some(Duration::from_secs(4)),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_gives_all_nodes_one_order_through_a_crash() {
    let mut rabbitmq = RabbitMq::start().await;
    let url = rabbitmq.url();
    run(&mut rabbitmq, &format!("{url}?cluster=order"), None).await;
    run(
        &mut rabbitmq,
        &format!("{url}?cluster=crash"),
        Some(Duration::from_secs(4)),
    )
    .await;
}
