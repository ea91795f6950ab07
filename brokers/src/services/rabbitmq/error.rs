//! What the client library says, as the engine says it.

use std::fmt;
use std::time::Duration;

use fanfare::{BrokerError, BrokerErrorKind};
use lapin::protocol::AMQPErrorKind;
use lapin::types::ShortString;
use tokio::time::timeout;

/// How long the server may take for one answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What was being done, and what came of it.
#[derive(Debug)]
struct Failed {
    what: String,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.what, self.cause)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.cause)
    }
}

/// Awaits the server's answer to something, for a bounded time.
pub(super) async fn answer<T>(
    what: &str,
    asked: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(failed(what, error)),
        Err(_) => Err(unavailable(format!(
            "cannot {what}: the server does not answer"
        ))),
    }
}

/// An error of the client library.
pub(super) fn failed(what: &str, error: lapin::Error) -> BrokerError {
    let refused = match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(_) => true,
            // What ends a connection is the server's state as a rule, but for these: access refused,
            // not allowed (for instance a virtual host that does not exist).
            AMQPErrorKind::Hard(_) => matches!(error.get_id(), 403 | 530),
        },
        _ => false,
    };
    let kind = if refused {
        BrokerErrorKind::Rejected
    } else {
        BrokerErrorKind::Unavailable
    };
    let (what, cause) = (what.to_owned(), error.into());
    BrokerError::new(kind, Failed { what, cause })
}

pub(super) fn unavailable(sentence: impl Into<String>) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, sentence.into())
}

pub(super) fn rejected(sentence: impl Into<String>) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Rejected, sentence.into())
}

/// A name as the protocol has them: at most 255 bytes.
pub(super) fn short(name: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(name)
        .map_err(|_| rejected(format!("the name {name:?} is longer than 255 bytes")))
}
