//! What a channel remembers: numbering, retention, reading.

pub mod memory;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::BoxFuture;
use crate::channel::Channel;
use crate::config::seconds;
use crate::event::{Event, Position, Publication};

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
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events: 1_000,
            bytes: 4 << 20,
            age: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// What a store holds of a channel between two offsets.
#[derive(Clone, Debug)]
pub struct Page {
    /// The newest position of the channel, whether or not the page reaches it.
    pub top: Position,
    /// The oldest offset that is still kept; `top.offset + 1` where nothing is.
    pub oldest: u64,
    /// The publications asked for that are kept, in order.
    pub publications: Vec<Arc<Publication>>,
}

/// Numbers the publications of a node's channels and keeps them for those who come back.
///
/// # Contract
/// - Offsets of a channel count from 1 without holes, in the order of the calls of `append`.
/// - An epoch never comes back with other contents: a store that forgets a channel's offsets
///   chooses a new epoch for it.
/// - The hub calls `append` and `top` while it holds the channel's lock: they must not block on
///   I/O, and calls for one channel never overlap.
pub trait HistoryStore: fmt::Debug + Send + Sync + 'static {
    /// Gives the event the channel's next offset and keeps it within `retention`.
    fn append(&self, event: Event, retention: &Retention) -> Arc<Publication>;

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

    /// Drops what has outlived its retention; called about twice a minute.
    fn expire(&self);
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
