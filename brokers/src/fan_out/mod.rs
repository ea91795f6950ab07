//! Carrying events between the nodes of a cluster.

#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "rabbitmq")]
mod undecodable;
