//! Carrying events between the nodes of a cluster.

#[cfg(any(feature = "kafka", feature = "nats", feature = "rabbitmq"))]
mod dropped;
#[cfg(feature = "nats")]
pub mod jetstream;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(any(feature = "nats", feature = "rabbitmq"))]
mod relay;
#[cfg(any(feature = "kafka", feature = "nats", feature = "rabbitmq"))]
mod undecodable;
