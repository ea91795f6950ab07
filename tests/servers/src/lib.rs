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
//! # Ends
//! A server is killed, and its folder removed, when its value is dropped, also by a panic. One whose
//! process is killed, or that is shared, is killed by the kernel when the process ends
//! (`PR_SET_PDEATHSIG`); its folder is removed by the next process that starts a server.

#![deny(missing_docs)]

mod installed;
mod lease;
mod nats;
mod probe;
mod process;
mod rabbitmq;
mod server;

pub use lease::Lease;
pub use nats::NatsServer;
pub use process::Program;
pub use rabbitmq::RabbitMqServer;
pub use server::{Broker, Server};

/// A NATS server with JetStream.
pub type Nats = Server<NatsServer>;

/// A RabbitMQ server.
pub type RabbitMq = Server<RabbitMqServer>;
