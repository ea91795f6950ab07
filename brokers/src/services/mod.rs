//! Topics and queues that backend services read.
//!
//! An [`Engine`] is one kind of server: NATS JetStream, RabbitMQ, Kafka. It writes records, and opens
//! [`Source`]s to read them by. A [`Consumer`] works records off, with the same semantics on all of
//! them; an [`Ingest`] is a handler that publishes them to clients.

mod consumer;
mod engine;
#[cfg(any(feature = "kafka", feature = "nats"))]
mod headers;
mod ingest;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::consumer::{
    BreakerPolicy, BreakerState, Consumer, FailureRatio, Handler, HandlerError, HandlerErrorKind,
    RetryPolicy, Running, Work,
};
pub use self::engine::{
    Dead, DeadLetters, Delivery, Engine, Failure, Record, Settle, Source, Subscription,
};
pub use self::ingest::Ingest;
