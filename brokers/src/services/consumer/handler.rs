//! What a consumer's records are given to.

use std::fmt;

use crate::services::engine::Record;

/// Works off records.
///
/// A record may come more than once: where the broker did not hear in time that it was done, for
/// instance because its connection was lost. Whoever must not do a thing twice remembers
/// [`Record::id`].
///
/// Async closures are handlers:
///
/// ```
/// use fanfare_brokers::services::{Handler, HandlerError, Work};
///
/// fn mailer() -> impl Handler {
///     async |work: Work| match work.record.payload.is_empty() {
///         true => Err(HandlerError::permanent("nothing to send")),
///         false => Ok(()),
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Works off one record. Where it panics, the attempt failed with the panic's message. Dropped
    /// at any await where the consumer is stopped and the grace is over; the record comes again.
    ///
    /// # Errors
    /// [`HandlerError`], whose kind says what is to become of the record.
    fn handle(&self, work: Work) -> impl Future<Output = Result<(), HandlerError>> + Send;
}

impl<F, W> Handler for F
where
    F: Fn(Work) -> W + Send + Sync + 'static,
    W: Future<Output = Result<(), HandlerError>> + Send,
{
    fn handle(&self, work: Work) -> impl Future<Output = Result<(), HandlerError>> + Send {
        self(work)
    }
}

/// A record to be worked off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The record.
    pub record: Record,
    /// Which attempt this is, counted from 1.
    pub attempt: u32,
}

/// Why a record was not worked off.
#[derive(Debug)]
pub struct HandlerError {
    kind: HandlerErrorKind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// What is to become of a record that was not worked off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerErrorKind {
    /// It is tried again, as often as the retry policy has it, and is a dead letter then.
    Retryable,
    /// It is a dead letter at once: another try would not help.
    Permanent,
    /// It is not the record's fault, and does not count as an attempt: what the handler needs is
    /// away. The record goes back and the circuit breaker opens.
    Unavailable,
}

impl HandlerError {
    /// Another try may help.
    pub fn retryable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(HandlerErrorKind::Retryable, source)
    }

    /// Another try does not help.
    pub fn permanent(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(HandlerErrorKind::Permanent, source)
    }

    /// No record can be worked off now.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(HandlerErrorKind::Unavailable, source)
    }

    fn new(
        kind: HandlerErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: source.into(),
        }
    }

    /// The kind, to match on.
    #[must_use]
    pub const fn kind(&self) -> HandlerErrorKind {
        self.kind
    }

    /// The source and what it came from, in a sentence.
    pub(super) fn reason(&self) -> String {
        let mut reason = self.source.to_string();
        let mut cause = self.source.source();
        while let Some(deeper) = cause {
            reason.push_str(": ");
            reason.push_str(&deeper.to_string());
            cause = deeper.source();
        }
        reason
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            HandlerErrorKind::Retryable => "the attempt failed",
            HandlerErrorKind::Permanent => "the record cannot be worked off",
            HandlerErrorKind::Unavailable => "what the handler needs is away",
        })
    }
}

impl std::error::Error for HandlerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}
