//! Where what was accepted waits while the server that it is for is away.

use std::fmt;

use bytes::Bytes;

use crate::BoxFuture;
use crate::history::HistoryError;

/// Whom a spill keeps things for. Each has lanes and a bound of its own, so that one server which is
/// away for long does not take the room that the outage of the other needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpillPart {
    /// Events for the broker between nodes.
    Broker,
    /// Records for the topics of backend services.
    Topics,
}

/// Keeps what a node has accepted and a server has not, in order, for as long as that is away, and
/// through the end of the process. Bounded in bytes.
pub trait Spill: fmt::Debug + Send + Sync + 'static {
    /// Adds to the end of a lane. Resolves once it will survive; appends of many lanes may become one
    /// write.
    ///
    /// # Errors
    /// [`SpillError`]: none of the frames was taken.
    fn append(&self, lane: u16, frames: Vec<Bytes>) -> BoxFuture<'_, Result<(), SpillError>>;

    /// The oldest frames of a lane, at most `limit`, with their places.
    ///
    /// # Errors
    /// [`SpillError::Failed`] where they cannot be read.
    fn read(&self, lane: u16, limit: usize)
    -> BoxFuture<'_, Result<Vec<(u64, Bytes)>, SpillError>>;

    /// Drops the frames of a lane up to a place. What a crash brings back is sent once more.
    ///
    /// # Errors
    /// [`SpillError::Failed`] where that cannot be written.
    fn remove(&self, lane: u16, up_to: u64) -> BoxFuture<'_, Result<(), SpillError>>;

    /// How many frames there are, in all lanes.
    fn len(&self) -> u64;

    /// How many bytes of frames it would still take; each frame counts up to 100 more than it has.
    fn room(&self) -> u64;

    /// Whether nothing waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A spill did not take something in.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpillError {
    /// It holds as much as it may.
    Full,
    /// Its disk has failed.
    Failed(HistoryError),
}

impl fmt::Display for SpillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "as much waits for the server as may",
            Self::Failed(_) => "what waits for the server cannot be kept",
        })
    }
}

impl std::error::Error for SpillError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Full => None,
            Self::Failed(error) => Some(error),
        }
    }
}
