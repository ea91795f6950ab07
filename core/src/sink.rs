//! Topics and queues that backend services read.
//!
//! A node hands an event to its clients and to the topics that it [names](crate::ForServices) in one
//! step, and neither waits for the other. While the server of the topics is away, records wait on disk
//! beside history, if that is there, and reach it in order when it is back.

use std::fmt;

use bytes::Bytes;

use crate::BoxFuture;
use crate::broker::BrokerError;

/// What is written for backend services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic, subject or routing key.
    pub topic: String,
    /// Records of a topic with the same key keep their order, as far as the server can. The name of
    /// the channel, where a node writes it.
    pub key: String,
    /// Tells the record from every other of its topic; a copy of it has the same. At most 128 bytes.
    pub id: String,
    /// The content, JSON as a rule.
    pub payload: Bytes,
}

/// Takes records for backend services: one kind of server that keeps them until they are worked off.
pub trait Sink: fmt::Debug + Send + Sync + 'static {
    /// Its name, for sentences and metrics: `nats`, `rabbitmq`, `kafka`.
    fn name(&self) -> &'static str;

    /// Writes a record. Resolves once the server has it for good. Records with one key keep the order
    /// of the calls.
    ///
    /// A node has one record of a topic and key under way at a time, and any number of others. It
    /// gives up waiting after 1.5 s, and then calls with the same record again.
    ///
    /// # Errors
    /// [`BrokerError`] where it was not written, or may not have been; a copy does no harm, because
    /// it has the same id. Of kind [`Rejected`](crate::BrokerErrorKind::Rejected) it is not tried
    /// again.
    fn publish(&self, record: Record) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Whether the server can be reached now, as far as is known.
    fn is_up(&self) -> bool;

    /// Finishes what is under way and disconnects.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}

/// How the way to the service topics is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkStatus {
    /// The sink's name.
    pub name: &'static str,
    /// Whether records reach the server now, as far as is known.
    pub is_up: bool,
    /// Records that wait on disk until they do.
    pub spilled: u64,
}
