//! What a client or publisher is told when it is refused.

use std::fmt;
use std::time::Duration;

/// The reason of a refusal, to match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Something failed that is not the caller's fault.
    Internal,
    /// No valid token.
    Unauthorized,
    /// The token was good once.
    TokenExpired,
    /// Not allowed, with this identity.
    PermissionDenied,
    /// No such command.
    MethodNotFound,
    /// The connection is subscribed to the channel already.
    AlreadySubscribed,
    /// A number of things (subscriptions, connections) is used up.
    LimitExceeded,
    /// The request makes no sense.
    BadRequest,
    /// The event is unknown, or its envelope or data does not match; the problems say where.
    InvalidEvent,
    /// The message, envelope or body is larger than allowed.
    TooLarge,
    /// The node does not offer this.
    NotAvailable,
    /// Too many events in too short a time.
    TooManyRequests,
    /// History does not reach back to the position asked for.
    UnrecoverablePosition,
    /// The node is going down or its broker is away; another try later may succeed.
    Unavailable,
}

/// A refusal: its kind, a sentence, and for invalid events what is wrong where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    problems: Vec<Problem>,
    retry_after: Option<Duration>,
}

/// One thing that is wrong with an event.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Where: `data.comment.id`, `data.items[0].name`, with `[i].` in front for the i-th of a batch.
    pub path: String,
    /// What.
    pub problem: String,
}

impl Problem {
    /// A problem at a path.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            problem: problem.into(),
        }
    }

    /// The same problem where its path is one within `parent`.
    pub(crate) fn below(mut self, parent: &str) -> Self {
        self.path = match (parent, &*self.path) {
            ("", _) => self.path,
            (parent, "") => parent.to_owned(),
            (parent, path) if path.starts_with('[') => format!("{parent}{path}"),
            (parent, path) => format!("{parent}.{path}"),
        };
        self
    }
}

impl Error {
    /// A refusal with a sentence of its own.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            problems: Vec::new(),
            retry_after: None,
        }
    }

    /// An invalid event.
    #[must_use]
    pub fn invalid_event(problems: Vec<Problem>) -> Self {
        let message = match &problems[..] {
            [only] => format!("{}: {}", only.path, only.problem),
            [first, rest @ ..] => format!(
                "{}: {} (and {} more)",
                first.path,
                first.problem,
                rest.len()
            ),
            [] => "the event is invalid".to_owned(),
        };
        Self {
            problems,
            ..Self::new(ErrorKind::InvalidEvent, message)
        }
    }

    /// Says when another try makes sense.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The reason, to match on.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// A sentence for humans.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What is wrong where, for [`ErrorKind::InvalidEvent`].
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// When another try makes sense, if it ever does.
    #[must_use]
    pub const fn retry_delay(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<ErrorKind> for Error {
    /// The kind's own words.
    fn from(kind: ErrorKind) -> Self {
        let message = match kind {
            ErrorKind::Internal => "internal server error",
            ErrorKind::Unauthorized => "unauthorized",
            ErrorKind::TokenExpired => "token expired",
            ErrorKind::PermissionDenied => "permission denied",
            ErrorKind::MethodNotFound => "method not found",
            ErrorKind::AlreadySubscribed => "already subscribed",
            ErrorKind::LimitExceeded => "limit exceeded",
            ErrorKind::BadRequest => "bad request",
            ErrorKind::InvalidEvent => "invalid event",
            ErrorKind::TooLarge => "payload too large",
            ErrorKind::NotAvailable => "not available",
            ErrorKind::TooManyRequests => "too many requests",
            ErrorKind::UnrecoverablePosition => "unrecoverable position",
            ErrorKind::Unavailable => "unavailable",
        };
        Self::new(kind, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
