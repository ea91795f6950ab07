//! A node of a cluster, with a recorder in place of its hub.

use std::sync::Arc;
use std::time::Duration;

use fanfare::broker::{Covered, Published};
use fanfare::testing::broker::{Recorder, Seen};
use fanfare::{Broker, BrokerError, Channel, Event, Position, Stamp};
use fanfare_brokers::fan_out::rabbitmq::{Config, RabbitMq};
use fanfare_test_servers::RabbitMq as RabbitMqServer;
use tokio::time::{Instant, sleep, timeout};

pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) struct Node {
    pub(crate) broker: RabbitMq,
    pub(crate) seen: Arc<Recorder>,
}

impl Node {
    pub(crate) async fn start(config: Config) -> Self {
        let broker = RabbitMq::new(config).unwrap();
        let seen = Recorder::new();
        let started = timeout(PATIENCE, broker.start(seen.ingress())).await;
        started.unwrap().unwrap();
        Self { broker, seen }
    }

    pub(crate) async fn publish(&self, number: u64) -> Result<Published, BrokerError> {
        let published = timeout(PATIENCE, self.broker.publish(event(number))).await;
        published.expect("publishing resolves")
    }

    /// Publishes until the broker takes it.
    pub(crate) async fn get_through(&self, number: u64) -> Published {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.publish(number).await {
                Ok(published) => return published,
                Err(error) => assert!(Instant::now() < deadline, "{}", chain(&error)),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn taken(&self) -> Vec<Seen> {
        self.seen.of(CHANNEL)
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        let number = |seen: &Seen| seen.event.stamp().unwrap().number;
        self.taken().iter().map(number).collect()
    }

    pub(crate) async fn until_taken(&self, number: u64) {
        let what = format!("{number} is taken");
        until(&what, || self.numbers().contains(&number)).await;
    }

    pub(crate) async fn until_up(&self, up: bool) {
        until(&format!("is_up is {up}"), || self.broker.is_up() == up).await;
    }

    pub(crate) fn covered(&self) -> Covered {
        self.broker
            .covered(&Channel::new(CHANNEL).unwrap())
            .unwrap()
    }

    pub(crate) fn last(&self) -> Position {
        self.taken().last().unwrap().position.unwrap()
    }
}

pub(crate) const CHANNEL: &str = "thread.1";

/// The `number`th event of an origin.
pub(crate) fn event(number: u64) -> Event {
    sized(number, 8)
}

pub(crate) fn sized(number: u64, size: usize) -> Event {
    let channel = Channel::new(CHANNEL).unwrap();
    let payload = format!("\"{}\"", "x".repeat(size));
    let event = Event::new(channel, "e", payload).unwrap();
    event.stamped(Stamp {
        origin: 1,
        number,
        settled: number - 1,
    })
}

pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn chain(error: &BrokerError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// A server that may be killed.
///
/// RabbitMQ 3.10 keeps the register of what runs its streams in a file that it writes some three
/// seconds late. Killed within that time after its first stream was made, it never gets its streams
/// going again.
pub(crate) async fn killable() -> RabbitMqServer {
    let server = RabbitMqServer::start().await;
    let first = Node::start(config(&server.url(), "first")).await;
    first.broker.shutdown().await;
    sleep(Duration::from_secs(5)).await;
    server
}

/// A cluster that no other test has.
pub(crate) fn config(url: &str, cluster: &str) -> Config {
    Config {
        cluster: cluster.to_owned(),
        ..Config::from_url(url).unwrap()
    }
}
