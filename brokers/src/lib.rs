//! # Brokers of fanfare
//!
//! Two roles that are kept apart:
//!
//! - [`fan_out`]: carrying events between the nodes of a cluster. Implementations of
//!   [`fanfare::Broker`], one per node, handed to [`fanfare::NodeBuilder::broker`]. A node that is
//!   alone needs none; it uses [`fanfare::broker::memory::Memory`].
//! - [`services`]: topics and queues that backend services read. Events are written there besides
//!   going to clients, and a consumer works them off, with retries and dead letters,
//!   by the same rules on every engine.
//!
//! Each engine is a feature: `nats`, `rabbitmq`, `kafka`.

#![deny(missing_docs)]

pub mod fan_out;
pub mod services;
