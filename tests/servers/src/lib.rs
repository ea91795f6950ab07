//! Real brokers for tests, benches and people who try things: each is a child process on free ports
//! of 127.0.0.1, with an empty folder of its own, so that any number of them run side by side.
//!
//! ```no_run
//! # async fn example() {
//! use fanfare_test_servers::Nats;
//!
//! let mut nats = Nats::start().await;
//! println!("{}", nats.url());
//! nats.kill().await; // as a crash does
//! nats.start_again().await; // same ports, same data
//! # }
//! ```
//!
//! Tests that only need names of their own share one server: [`Nats::shared`](Server::shared).
//!
//! `scripts/install-brokers` installs what they run. Where it is missing a start panics and says so: a
//! test that wants a broker never passes without one. Linux only.
//!
//! # Starts
//! On two idle cores NATS and Redis are ready in 15 ms, Kafka in 0.6 to 1 s, RabbitMQ in 3 to 5 s; started
//! again after a kill, Kafka in 4.5 s (see [`KafkaServer`]) and RabbitMQ in 3 s. They take 20, 12, 150 and
//! 140 MB.
//!
//! # Ends
//! A server is killed, and its folder removed, when its value is dropped, also by a panic. One whose
//! process is killed, or that is shared, is killed by the kernel when the process ends
//! (`PR_SET_PDEATHSIG`); its folder is removed by the next process that starts a server.

#![deny(missing_docs)]

mod installed;
mod kafka;
mod lease;
mod nats;
mod probe;
mod process;
mod rabbitmq;
mod redis;
mod server;

pub use kafka::KafkaServer;
pub use lease::Lease;
pub use nats::NatsServer;
pub use process::Program;
pub use rabbitmq::RabbitMqServer;
pub use redis::RedisServer;
pub use server::{Broker, Server};

/// A NATS server with JetStream.
pub type Nats = Server<NatsServer>;

/// A RabbitMQ server.
pub type RabbitMq = Server<RabbitMqServer>;

/// A Kafka broker.
pub type Kafka = Server<KafkaServer>;

/// A Redis server.
pub type Redis = Server<RedisServer>;
