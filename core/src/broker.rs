//! Carrying events between nodes.

pub mod memory;

use std::fmt;

use crate::BoxFuture;
use crate::channel::Channel;
use crate::event::{Event, Position};
use crate::ingress::Ingress;

/// Carries events between nodes. One per node, one call per publish.
///
/// # Contract
/// - An event that `publish` accepted reaches the [`Ingress`] of every node whose subscriptions
///   include its channel, this one's too.
/// - Events of a channel reach every node in the same order if [`Guarantees::ordered`] says so.
/// - Delivering more channels than were subscribed is allowed; the hub ignores what nobody wants.
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// What a node can rely on. Constant for the life of the broker.
    fn guarantees(&self) -> Guarantees;

    /// Connects, and hands over to `ingress` from now on. Called once, before anything else.
    ///
    /// # Errors
    /// [`BrokerError`] where the broker cannot be reached; the node does not start.
    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Hands one event to every node, this one included, through the ingress. Resolves once the
    /// event is accepted: for good, as far as the broker's guarantees go.
    ///
    /// A node publishes a batch by calling this for each event and then awaiting them: events of a
    /// channel keep the order of the calls.
    ///
    /// # Errors
    /// [`BrokerError`] where the event was not accepted. It reaches nobody then.
    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>>;

    /// From when this resolves, delivers at least these channels, until they are unsubscribed.
    ///
    /// # Errors
    /// [`BrokerError`] where that cannot be had now.
    fn subscribe(&self, channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Need not deliver these channels any more.
    ///
    /// # Errors
    /// [`BrokerError`], which a node only logs.
    fn unsubscribe(&self, channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Whether events can be published now.
    fn is_up(&self) -> bool;

    /// Finishes what is under way and disconnects.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}

/// What a broker promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarantees {
    /// Its name, for sentences about it.
    pub name: &'static str,
    /// Events of a channel reach every node in one order.
    pub ordered: bool,
    /// What was accepted survives the end of every node.
    pub durable: bool,
    /// What was delivered before can be read again.
    pub replayable: bool,
    /// Positions mean the same on every node.
    pub shared_positions: bool,
}

/// What became of an event that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its position, where the broker or this node numbered it.
    pub position: Option<Position>,
}

/// A broker could not do what it was asked.
#[derive(Debug)]
pub struct BrokerError {
    kind: BrokerErrorKind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Whose fault it was, and whether another try helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerErrorKind {
    /// The broker cannot be reached; later may help.
    Unavailable,
    /// The broker refused; the same again will not help.
    Rejected,
}

impl BrokerError {
    /// Wraps what the client of the broker said.
    pub fn new(
        kind: BrokerErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: source.into(),
        }
    }

    /// The kind, to match on.
    #[must_use]
    pub const fn kind(&self) -> BrokerErrorKind {
        self.kind
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            BrokerErrorKind::Unavailable => "the broker is not available",
            BrokerErrorKind::Rejected => "the broker refused",
        })
    }
}

impl std::error::Error for BrokerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}
