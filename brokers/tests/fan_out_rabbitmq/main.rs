//! Carrying events by a real RabbitMQ.

#![cfg(feature = "rabbitmq")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; its helpers too"
)]

mod logs;
mod node;
mod outages;
mod proxy;
mod queues;
#[path = "../secured/mod.rs"]
mod secured;
mod starting;
mod tls;

use std::time::Duration;

use fanfare::BoxFuture;
use fanfare::testing::broker::{Plan, Server, check_all, check_outage};
use fanfare_brokers::fan_out::rabbitmq::RabbitMq;
use fanfare_test_servers::RabbitMq as RabbitMqServer;
use tokio::sync::Mutex;

fn plan() -> Plan {
    Plan {
        patience: Duration::from_secs(40),
        ..Plan::default()
    }
}

fn attach(server: &str, cluster: &str) -> RabbitMq {
    RabbitMq::from_url(&format!("{server}?cluster={cluster}")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_promises_of_a_log() {
    let url = RabbitMqServer::shared().await.url();
    check_all(async |cluster: &str| attach(&url, cluster), &plan()).await;
}

struct Killable(Mutex<RabbitMqServer>);

impl Server for Killable {
    fn kill(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.0.lock().await.kill().await })
    }

    fn start(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.0.lock().await.start_again().await })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_survives_that_the_server_is_killed() {
    let server = node::killable().await;
    let url = server.url();
    let server = Killable(Mutex::new(server));
    let away = Duration::from_secs(3);
    let attach = async |cluster: &str| attach(&url, cluster);
    check_outage(attach, &server, away, &plan()).await;
}
