//! What a channel remembers: numbering, retention, reading.

#[cfg(feature = "disk")]
pub mod disk;
pub(crate) mod ledger;
pub mod memory;
pub(crate) mod tail;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::BoxFuture;
use crate::broker::{Spill, SpillPart};
use crate::channel::Channel;
use crate::config::seconds;
use crate::event::{Event, Publication};
use crate::position::Position;

/// How much of a channel is kept: the newest events within all three limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Events of a channel; default 1,000. 0 keeps nothing: positions count on, recovery fails.
    pub events: usize,
    /// Bytes of a channel, payloads and about 200 bytes for each event; default 4 MiB.
    pub bytes: usize,
    /// Age of an event; default 24 h.
    #[serde(with = "seconds")]
    pub age: Duration,
    /// Events younger than this are kept even beyond `events`, and beyond `bytes` up to 16 times as
    /// much; default 0. A channel that is polled has at least a minute, so that a client which
    /// comes back for the next answer finds all of it at any rate.
    #[serde(with = "seconds")]
    pub recent: Duration,
}

impl Retention {
    /// Whether a channel that holds `events` of `bytes` has to drop its oldest, which is `age` old.
    #[must_use]
    pub fn is_exceeded(&self, events: usize, bytes: usize, age: Duration) -> bool {
        let beyond = events > self.events || bytes > self.bytes;
        age > self.age || (beyond && age >= self.recent) || bytes > self.bytes.saturating_mul(16)
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events: 1_000,
            bytes: 4 << 20,
            age: Duration::from_secs(24 * 60 * 60),
            recent: Duration::ZERO,
        }
    }
}

/// What a store holds of a channel between two offsets.
#[derive(Clone, Debug)]
pub struct Page {
    /// The newest position of the channel, whether or not the page reaches it.
    pub top: Position,
    /// All publications from this offset on are kept; `top.offset + 1` where none is.
    pub oldest: u64,
    /// The publications asked for that are kept, in order.
    pub publications: Vec<Arc<Publication>>,
}

/// An event that has its place in history.
#[derive(Clone, Debug)]
pub struct Appended {
    /// The event with its position.
    pub publication: Arc<Publication>,
    /// The number under which [`HistoryStore::committed`] says that it will survive; 0 where it is
    /// as safe at once as it will ever be. Tickets of one store never fall.
    pub ticket: u64,
}

/// How far a user has received the user's own channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The newest publication received, and with it all before.
    pub position: Position,
    /// When that was noted.
    pub at: SystemTime,
}

/// Numbers the publications of a node's channels and keeps them for those who come back.
///
/// # Contract
/// - Offsets of a channel count from 1 without holes, in the order of the calls of `append`.
/// - An epoch never comes back with other contents: a store that forgets a channel's offsets
///   chooses a new epoch for it.
/// - The hub calls `append` and `top` while it holds the channel's lock: they must not block on
///   I/O, and calls for one channel never overlap.
/// - What a store may still lose, nobody sees: the hub shows subscribers what `safe` has reached,
///   and tells publishers that an event is accepted once `committed` has resolved.
pub trait HistoryStore: fmt::Debug + Send + Sync + 'static {
    /// Gives the event the channel's next offset and keeps it within `retention`.
    fn append(&self, event: Event, retention: &Retention) -> Appended;

    /// The position of the newest publication; offset 0 where there has been none.
    fn top(&self, channel: &Channel) -> Position;

    /// The publications with offsets in `after + 1 ..= up_to`, the oldest `limit` of them.
    ///
    /// # Errors
    /// [`HistoryError`] where the store could not be read. Cancel safe.
    fn read(
        &self,
        channel: &Channel,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, HistoryError>>;

    /// The newest ticket that is safe, and with it all before. Cheap: the hub asks at every flush.
    fn safe(&self) -> u64;

    /// Resolves when `ticket` is safe.
    ///
    /// # Errors
    /// [`HistoryError`] where it never will be: the store has failed, and takes in nothing more.
    /// Cancel safe.
    fn committed(&self, ticket: u64) -> BoxFuture<'_, Result<(), HistoryError>>;

    /// Whether the store takes in events. One that has failed does not, until the process is
    /// started anew.
    fn is_up(&self) -> bool;

    /// Notes how far the user of a `user.{id}` channel has received it. Never goes back within an
    /// epoch. Need not survive at once: what a note that got lost covers is received twice.
    fn note_receipt(&self, channel: &Channel, receipt: Receipt);

    /// What was noted last.
    fn receipt(&self, channel: &Channel) -> Option<Receipt>;

    /// Where what was accepted waits while a server is away; none where the store does not survive the
    /// end of the process, so that nothing can be accepted then. The part holds at most `bytes`.
    fn spill(&self, part: SpillPart, bytes: u64) -> Option<Arc<dyn Spill>> {
        let _ = (part, bytes);
        None
    }

    /// Drops what has outlived its retention; called about twice a minute.
    fn expire(&self);

    /// Makes everything safe and lets go of files. Nothing is appended afterwards.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A history store could not do what it was asked.
#[derive(Debug)]
pub struct HistoryError {
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl HistoryError {
    /// Wraps what the store's engine said.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            source: source.into(),
        }
    }
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("history is not available")
    }
}

impl std::error::Error for HistoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}
