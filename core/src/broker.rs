//! Carrying events between nodes.

mod frame;
pub mod memory;
mod required;
mod spill;

use std::fmt;

use crate::BoxFuture;
use crate::channel::Channel;
use crate::event::Event;
use crate::ingress::Ingress;
use crate::position::{Epoch, Position};

pub use self::frame::FrameError;
pub use self::required::Required;
pub use self::spill::{Spill, SpillError, SpillPart};

/// Carries events between nodes. One per node, one call per publish.
///
/// # Contract
/// - An event that `publish` accepted reaches the [`Ingress`] of every node whose subscriptions
///   include its channel, this one's too.
/// - Events of a channel reach every node in the same order if [`Guarantees::ordered`] says so.
/// - Delivering more channels than were subscribed is allowed; the hub ignores what nobody wants.
/// - An event may be carried more than once, or after others that were sent later, where the node
///   sends it again: by its [`Stamp`](crate::Stamp) the ingress of a log takes each once and in its
///   turn. A broker without a log sees to that itself.
/// - [`Ephemeral`](crate::Guarantee::Ephemeral) events are live only: they go to the nodes that are
///   there, as fast as can be, without a place in any log, and are handed over by
///   [`Ingress::deliver`]. Nodes also speak with each other that way, on a channel of their own
///   ([`Channel::is_of_nodes`]), whose name holds a `$`.
///
/// # Logs
/// A broker that is [`replayable`](Guarantees::replayable) keeps events in a log and numbers them. It
/// hands each over with its position, by [`Ingress::deliver_at`], in the order of the log, and every
/// node reads all of the log: from some way back when it starts, and from where it was after a
/// disconnect. Positions are then the same on every node ([`Epoch::of_log`] makes their epochs), and
/// the node keeps the newest part of each channel in memory. [`covered`](Self::covered) says from
/// where to where that is whole.
///
/// [`Event::encode`] and [`Event::decode`] make bytes of events and back.
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// What a node can rely on. Constant for the life of the broker.
    fn guarantees(&self) -> Guarantees;

    /// Connects, and hands over to `ingress` from now on. Called once, before anything else. One with
    /// a log has handed over what was in it before this resolves, as far back as it means to go.
    ///
    /// # Errors
    /// [`BrokerError`] where the broker cannot be reached; the node does not start.
    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Hands one event to every node, this one included, through the ingress. Resolves once the
    /// event is accepted: for good, as far as the broker's guarantees go.
    ///
    /// A node calls this for many events before the first of them has resolved, and polls them in
    /// turn: events of a [lane](Channel::lane) are sent in the order of the calls.
    ///
    /// # Errors
    /// [`BrokerError`] where the event was not accepted, or may not have been. Of kind
    /// [`Unavailable`](BrokerErrorKind::Unavailable) the node sends it, and what it sent after it,
    /// again. Must not take longer than about 10 s to say so.
    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>>;

    /// From when this resolves, delivers at least these channels, until they are unsubscribed.
    /// Nothing to do for a log: its nodes read all of it.
    ///
    /// # Errors
    /// [`BrokerError`] where that cannot be had now.
    fn subscribe(&self, channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Need not deliver these channels any more.
    ///
    /// # Errors
    /// [`BrokerError`], which a node only logs.
    fn unsubscribe(&self, channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// What this node has been handed of a channel, where the broker is a log; none otherwise.
    ///
    /// Called under locks: must not block.
    fn covered(&self, channel: &Channel) -> Option<Covered> {
        let _ = channel;
        None
    }

    /// Whether it hands over in the task that publishes, and so is never away.
    fn is_local(&self) -> bool {
        false
    }

    /// Whether events can be published now, as far as is known.
    fn is_up(&self) -> bool;

    /// Finishes what is under way and disconnects.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}

/// The part of a log that a node has been handed: every event of the channel with an offset in
/// `from ..= to` came to its ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The incarnation of the channel's offsets, made by [`Epoch::of_log`].
    pub epoch: Epoch,
    /// The first offset, at least 1. Rises where the node had to leave some out.
    pub from: u64,
    /// The last offset, `from - 1` where there is none; moved after the ingress has the event, never
    /// before, and also by events of other channels.
    pub to: u64,
}

/// What a broker promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarantees {
    /// Its name, for sentences about it.
    pub name: &'static str,
    /// Events of a channel reach every node in one order.
    pub ordered: bool,
    /// What was accepted survives the end of every node, and of the broker's process.
    pub durable: bool,
    /// What was delivered before can be read again: the broker is a log, and numbers events.
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
