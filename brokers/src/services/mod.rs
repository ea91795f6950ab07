//! Topics and queues that backend services read.
//!
//! An [`Engine`] is one kind of server: NATS JetStream, RabbitMQ, Kafka. It writes records, and opens
//! [`Source`]s to read them by.

mod engine;
#[cfg(any(feature = "kafka", feature = "nats"))]
mod headers;
#[cfg(feature = "nats")]
pub mod nats;

pub use self::engine::{
    Dead, DeadLetters, Delivery, Engine, Failure, Record, Settle, Source, Subscription,
};
