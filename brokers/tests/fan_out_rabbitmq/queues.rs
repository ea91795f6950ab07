//! Nodes with queues of their own and no log.

use std::sync::Arc;
use std::time::Duration;

use fanfare::testing::broker::{Recorder, check_all, check_outage};
use fanfare::{Broker, BrokerErrorKind, Channel, Event, Guarantee, Stamp};
use fanfare_brokers::fan_out::rabbitmq::{Config, QueueType, RabbitMq};
use fanfare_test_servers::RabbitMq as RabbitMqServer;
use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::node::{CHANNEL, Node, config, until};
use crate::proxy::Proxy;
use crate::{Killable, plan};

const QUEUES: [QueueType; 2] = [QueueType::Classic, QueueType::Quorum];

fn queues(url: &str, cluster: &str, queues: QueueType) -> Config {
    Config {
        stream: false,
        queues,
        ..config(url, cluster)
    }
}

async fn joined(config: Config) -> Node {
    let node = Node::start(config).await;
    node.broker
        .subscribe(vec![Channel::new(CHANNEL).unwrap()])
        .await
        .unwrap();
    node
}

/// What the `number`th event of an origin is, told apart by both.
fn of(origin: u64, number: u64) -> Event {
    let channel = Channel::new(CHANNEL).unwrap();
    let event = Event::new(channel, "e", format!("\"{origin}:{number}\"")).unwrap();
    event.stamped(Stamp {
        origin,
        number,
        settled: number - 1,
    })
}

/// Sends an event again until it is accepted, as a node does.
async fn get_through(node: &Node, event: &Event) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = node.broker.publish(event.clone()).await {
        assert_eq!(error.kind(), BrokerErrorKind::Unavailable);
        assert!(Instant::now() < deadline, "{error:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn seen(node: &Node) -> Vec<(u64, u64)> {
    let stamp = |seen: &fanfare::testing::broker::Seen| seen.event.stamp().unwrap();
    let taken = node.taken();
    let stamps = taken.iter().map(stamp);
    stamps.map(|stamp| (stamp.origin, stamp.number)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_keep_the_promises_of_nodes_that_give_the_order() {
    let url = RabbitMqServer::shared().await.url();
    for kind in QUEUES {
        let attach = async |cluster: &str| {
            let cluster = format!("{cluster}-{kind:?}");
            RabbitMq::new(queues(&url, &cluster, kind)).unwrap()
        };
        check_all(attach, &plan()).await;
    }
}

async fn survive_that_the_server_is_killed(kind: QueueType) {
    let server = RabbitMqServer::start().await;
    let url = server.url();
    let server = Killable(Mutex::new(server));
    let away = Duration::from_secs(3);
    let attach = async |cluster: &str| RabbitMq::new(queues(&url, cluster, kind)).unwrap();
    check_outage(attach, &server, away, &plan()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn classic_ones_survive_that_the_server_is_killed() {
    survive_that_the_server_is_killed(QueueType::Classic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quorum_ones_survive_that_the_server_is_killed() {
    survive_that_the_server_is_killed(QueueType::Quorum).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_is_away() {
    let mut server = RabbitMqServer::start().await;
    for kind in QUEUES {
        let cluster = format!("still-{kind:?}");
        let one = joined(queues(&server.url(), &cluster, kind)).await;
        let other = joined(queues(&server.url(), &cluster, kind)).await;
        get_through(&one, &of(1, 1)).await;
        server.pause();
        let paused = Instant::now();
        let refused = one.broker.publish(of(1, 2)).await.unwrap_err();
        assert_eq!(refused.kind(), BrokerErrorKind::Unavailable);
        one.until_up(false).await;
        other.until_up(false).await;
        let noticed = paused.elapsed();
        assert!(noticed < Duration::from_millis(3_500), "{noticed:?}");
        sleep(Duration::from_secs(4).saturating_sub(noticed)).await;
        server.resume();
        one.until_up(true).await;
        other.until_up(true).await;
        get_through(&one, &of(1, 2)).await;
        get_through(&other, &of(2, 1)).await;
        get_through(&one, &of(1, 3)).await;
        until("all arrive", || {
            seen(&one).len() >= 4 && seen(&other).len() >= 4
        })
        .await;
        assert_eq!(seen(&one), seen(&other));
        assert_eq!(seen(&one), [(1, 1), (1, 2), (2, 1), (1, 3)]);
        one.broker.shutdown().await;
        other.broker.shutdown().await;
    }
}

/// Three nodes publish at once, each what it is refused again, while one of them loses its connection
/// time and again: all see the same, and nothing is missing or there twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_see_one_order_under_load_and_lost_connections() {
    let url = RabbitMqServer::shared().await.url();
    for kind in QUEUES {
        let near = queues(&url, &format!("load-{kind:?}"), kind);
        let proxy = Proxy::start(&near).await;
        let mut far = near.clone();
        far.port = proxy.address.port();
        let mut nodes = Vec::new();
        for config in [near.clone(), near, far] {
            nodes.push(Arc::new(joined(config).await));
        }
        let mut publishing = tokio::task::JoinSet::new();
        for (origin, node) in (1..).zip(&nodes) {
            let node = node.clone();
            publishing.spawn(async move {
                for number in 1..=300 {
                    get_through(&node, &of(origin, number)).await;
                }
            });
        }
        let disturbing = async {
            for _ in 0..2 {
                sleep(Duration::from_millis(300)).await;
                proxy.cut();
                sleep(Duration::from_millis(200)).await;
                proxy.mend();
                nodes[2].until_up(true).await;
            }
        };
        tokio::join!(publishing.join_all(), disturbing);
        until("all arrive", || {
            nodes.iter().all(|node| seen(node).len() >= 900)
        })
        .await;
        for node in &nodes[1..] {
            assert!(seen(&nodes[0]) == seen(node), "in one order");
        }
        let mut all = seen(&nodes[0]);
        all.sort_unstable();
        let expected = (1..=3).flat_map(|origin| (1..=300).map(move |number| (origin, number)));
        assert!(all == expected.collect::<Vec<_>>(), "each once");
        for node in nodes {
            node.broker.shutdown().await;
        }
    }
}

/// The first of all owns every lane. It vanishes without a goodbye, and the next takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_s_lanes_are_taken_over() {
    let url = RabbitMqServer::shared().await.url();
    let near = queues(&url, "taken", QueueType::Classic);
    let owner = joined(near.clone()).await;
    let one = joined(near.clone()).await;
    let other = joined(near).await;
    get_through(&one, &of(1, 1)).await;
    drop(owner);
    let began = Instant::now();
    get_through(&one, &of(1, 2)).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    get_through(&other, &of(2, 1)).await;
    until("all arrive", || {
        seen(&one).len() >= 3 && seen(&other).len() >= 3
    })
    .await;
    assert_eq!(seen(&one), [(1, 1), (1, 2), (2, 1)]);
    assert_eq!(seen(&other), seen(&one));
    one.broker.shutdown().await;
    other.broker.shutdown().await;
}

/// What was broadcast while a node had no connection is in its quorum queue, and needs no owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_queue_holds_what_its_node_missed_though_the_owner_is_gone() {
    let url = RabbitMqServer::shared().await.url();
    let near = queues(&url, "held", QueueType::Quorum);
    let proxy = Proxy::start(&near).await;
    let mut far = near.clone();
    far.port = proxy.address.port();
    let owner = joined(near.clone()).await;
    let away = joined(far).await;
    get_through(&owner, &of(1, 1)).await;
    away.until_taken(1).await;
    proxy.cut();
    away.until_up(false).await;
    for number in 2..=50 {
        get_through(&owner, &of(1, number)).await;
    }
    owner.broker.shutdown().await;
    proxy.mend();
    until("all that was broadcast arrives", || seen(&away).len() >= 50).await;
    assert_eq!(away.numbers(), (1..=50).collect::<Vec<_>>());
    away.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_live_comes_once_after_a_lost_connection() {
    let url = RabbitMqServer::shared().await.url();
    for kind in QUEUES {
        let mut config = queues(&url, &format!("live-{kind:?}"), kind);
        let proxy = Proxy::start(&config).await;
        config.port = proxy.address.port();
        let node = joined(config).await;
        let live = || {
            let channel = Channel::new(CHANNEL).unwrap();
            let event = Event::new(channel, "e", "1").unwrap();
            event.with_guarantee(Guarantee::Ephemeral)
        };
        for round in 1..=3 {
            node.broker.publish(live()).await.unwrap();
            until("it comes", || node.taken().len() >= round).await;
            proxy.cut();
            node.until_up(false).await;
            proxy.mend();
            node.until_up(true).await;
        }
        sleep(Duration::from_millis(300)).await;
        assert_eq!(node.taken().len(), 3);
        node.broker.shutdown().await;
    }
}

/// Nothing is left of a node that has ended: what is for all nodes has nowhere to go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_end_with_their_nodes() {
    let url = RabbitMqServer::shared().await.url();
    let properties = lapin::ConnectionProperties::default();
    let connection = lapin::Connection::connect(&url, properties).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let confirms = channel.confirm_select(ConfirmSelectOptions::default());
    confirms.await.unwrap();
    for kind in QUEUES {
        let cluster = format!("ends-{kind:?}");
        let node = joined(queues(&url, &cluster, kind)).await;
        let is_heard = async || {
            let mandatory = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let exchange = format!("{cluster}.nodes").into();
            let published = channel.basic_publish(
                exchange,
                "a".into(),
                mandatory,
                b"no message of a node",
                BasicProperties::default(),
            );
            let confirmed = published.await.unwrap().await.unwrap();
            confirmed.take_message().is_none()
        };
        assert!(is_heard().await);
        node.broker.shutdown().await;
        // The server answers before it has done away with a queue.
        let deadline = Instant::now() + Duration::from_secs(5);
        while is_heard().await {
            assert!(Instant::now() < deadline, "{kind:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn they_have_no_positions_in_common_and_no_history() {
    let url = RabbitMqServer::shared().await.url();
    let node = joined(queues(&url, "positions", QueueType::Classic)).await;
    let guarantees = node.broker.guarantees();
    assert!(guarantees.ordered);
    assert!(!guarantees.shared_positions && !guarantees.replayable && !guarantees.durable);
    assert_eq!(node.publish(1).await.unwrap().position, None);
    assert_eq!(node.broker.covered(&Channel::new(CHANNEL).unwrap()), None);
    node.broker.shutdown().await;
}

#[tokio::test]
async fn what_the_server_refuses_is_rejected() {
    let url = RabbitMqServer::shared().await.url();
    let mut config = queues(&url, "refused", QueueType::Classic);
    config.password = "hidden".to_owned();
    let broker = RabbitMq::new(config).unwrap();
    let error = broker.start(Recorder::new().ingress()).await.unwrap_err();
    assert_eq!(error.kind(), BrokerErrorKind::Rejected);
    assert!(!broker.is_up());
}
