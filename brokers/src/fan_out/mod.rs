//! Carrying events between the nodes of a cluster.

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kafka")]
mod undecodable;
