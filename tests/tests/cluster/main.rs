//! Three nodes on each broker, as one: under load, while the broker is killed, and while each node is.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

mod audience;
mod nodes;
mod order;
mod publishers;
mod scenario;

use fanfare_test_servers::{Kafka, Nats, RabbitMq};

use self::scenario::{Positions, Scenario};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jetstream_gives_all_nodes_one_order_through_every_crash() {
    let nats = Nats::start().await;
    let url = nats.url().replace("nats://", "nats+jetstream://");
    let url = format!("{url}?cluster=three");
    Scenario::begin(nats, &url, Positions::Shared)
        .await
        .play()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_gives_all_nodes_one_order_through_every_crash() {
    let nats = Nats::start().await;
    let url = format!("{}?cluster=three", nats.url());
    Scenario::begin(nats, &url, Positions::OfEachNode)
        .await
        .play()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_gives_all_nodes_one_order_through_every_crash() {
    let kafka = Kafka::start().await;
    // A node that starts reads back a share of each partition; with one it is all that it may.
    let url = format!("{}?cluster=three&partitions=1", kafka.url());
    Scenario::begin(kafka, &url, Positions::Shared)
        .await
        .play()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_gives_all_nodes_one_order_through_every_crash() {
    let rabbitmq = RabbitMq::start().await;
    let url = format!("{}?cluster=three", rabbitmq.url());
    Scenario::begin(rabbitmq, &url, Positions::Shared)
        .await
        .play()
        .await;
}
