//! The seam between a consumer and the server that it reads from.

use std::fmt;
use std::time::{Duration, SystemTime};

pub use fanfare::Record;
use fanfare::broker::BrokerError;
use fanfare::{BoxFuture, Sink};

/// What a group of consumers reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topic or queue.
    pub topic: String,
    /// Consumers of one group share the records; each group has all of them.
    pub group: String,
    /// Deliveries that may be unsettled at a time, 1 to 10,000.
    pub prefetch: u16,
}

/// One kind of server that keeps records for services until they are worked off: what is written to
/// it as a [`Sink`] is read here.
pub trait Engine: Sink {
    /// Begins to read for a group, and sees to everything that needs: topics, queues, groups.
    ///
    /// # Errors
    /// [`BrokerError`] where the server is away or does not let that be done.
    fn open<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, BrokerError>>;

    /// The dead letters of a group, to look at and to replay.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    fn dead_letters<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn DeadLetters>, BrokerError>>;
}

/// Where a group's records come from. Dropping it gives back what is not settled.
pub trait Source: Send {
    /// The next record that is due. Cancel safe. Goes on by itself after a loss of connection: an
    /// error is for the log, and the call after it tries again.
    ///
    /// # Errors
    /// [`BrokerError`] where the server is away.
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, BrokerError>>;

    /// How many records wait for the group, as far as the engine knows; for the metric of lag.
    fn lag(&mut self) -> BoxFuture<'_, Option<u64>>;
}

/// A record in the hands of a consumer.
pub struct Delivery {
    /// The record.
    pub record: Record,
    /// What went wrong before, oldest first.
    pub failures: Vec<Failure>,
    /// Says what is to become of it.
    pub settle: Box<dyn Settle>,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("record", &self.record)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

/// One attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When, to the millisecond.
    pub at: SystemTime,
    /// Why, in a sentence; at most 1,000 bytes are kept.
    pub reason: String,
}

/// What is to become of a delivery. Each resolves once the server knows, so that a consumer which
/// ends afterwards neither loses nor repeats it. Dropped without a word, it comes again.
pub trait Settle: Send {
    /// It was worked off.
    fn done(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>>;

    /// It comes again after a pause, with `failure` behind its other failures. Others do not wait
    /// for it.
    fn retry(
        self: Box<Self>,
        after: Duration,
        failure: Failure,
    ) -> BoxFuture<'static, Result<(), BrokerError>>;

    /// It becomes a dead letter of its group, with all its failures.
    fn give_up(self: Box<Self>, failure: Failure) -> BoxFuture<'static, Result<(), BrokerError>>;

    /// It comes again, to whoever is there, as if it had not been delivered.
    fn release(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>>;
}

/// The dead letters of a group.
pub trait DeadLetters: Send {
    /// The oldest of them, at most `limit`. They stay where they are.
    ///
    /// # Errors
    /// [`BrokerError`] where the server is away.
    fn list(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<Dead>, BrokerError>>;

    /// Gives the oldest of them back to their group, at most `limit`, as if they had never failed,
    /// and says how many. One that could not be given back stays.
    ///
    /// # Errors
    /// [`BrokerError`] where the server is away.
    fn replay(&mut self, limit: usize) -> BoxFuture<'_, Result<usize, BrokerError>>;
}

/// A record that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// The record.
    pub record: Record,
    /// What went wrong, oldest first; the last of them is why it was given up.
    pub failures: Vec<Failure>,
}
