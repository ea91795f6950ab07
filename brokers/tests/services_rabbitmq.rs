//! RabbitMQ as an engine of services, against a real server.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

use std::sync::Arc;

use fanfare_brokers::services::Engine;
use fanfare_brokers::services::rabbitmq::{Durability, RabbitMq, Topology};
use fanfare_brokers::services::testing::{Plan, check_all};
use fanfare_test_servers::RabbitMq as Server;

async fn connect(url: &str, durability: Durability) -> Arc<dyn Engine> {
    let topology = Topology::gamification().durability(durability);
    Arc::new(RabbitMq::connect(url, topology).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_an_engines_promises() {
    let server = Server::shared().await;
    let engine = async || connect(&server.url(), Durability::Classic).await;
    check_all(engine, &Plan::default()).await;
}
