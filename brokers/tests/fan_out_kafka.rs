//! Kafka as a broker of nodes, against real servers.
#![cfg(feature = "kafka")]
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected comes"
)]

use std::time::Duration;

use fanfare::BoxFuture;
use fanfare::testing::broker::{Plan, Server, check_all, check_outage};
use fanfare_brokers::fan_out::kafka::Kafka;
use fanfare_test_servers::Kafka as KafkaServer;
use tokio::sync::Mutex;

fn broker(url: &str, cluster: &str) -> Kafka {
    Kafka::from_url(&format!("{url}?cluster={cluster}")).unwrap()
}

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
