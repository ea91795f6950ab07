//! Carrying events between the nodes of a cluster.

#[cfg(feature = "nats")]
mod dropped;
#[cfg(feature = "nats")]
pub mod jetstream;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "nats")]
mod relay;
