//! # Brokers of fanfare
//!
//! A broker carries events between the nodes of a cluster: an implementation of [`fanfare::Broker`],
//! handed to [`fanfare::NodeBuilder::broker`]. A node that is alone needs none; it uses
//! [`fanfare::broker::memory::Memory`].
//!
//! There is none here yet. NATS, RabbitMQ and Kafka are to come, each behind a feature of its name.

#![deny(missing_docs)]
