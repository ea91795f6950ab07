//! Errors as HTTP answers.

use std::time::Duration;

use fanfare::config::Reconnect;
use fanfare::{AuthError, Disconnect, Error, ErrorKind, Problem};
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::Body;

#[derive(Serialize)]
struct Envelope<'a> {
    error: Fields<'a>,
}

#[derive(Serialize)]
struct Fields<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Details<'a> {
    Problems(&'a [Problem]),
    Pauses { backoff: Backoff },
}

/// How to come back, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Backoff {
    initial: u64,
    max: u64,
    multiplier: f64,
}

impl From<Reconnect> for Backoff {
    fn from(reconnect: Reconnect) -> Self {
        let milliseconds = |pause: Duration| pause.as_millis().try_into().unwrap_or(u64::MAX);
        Self {
            initial: milliseconds(reconnect.initial),
            max: milliseconds(reconnect.max),
            multiplier: reconnect.multiplier,
        }
    }
}

/// `{"error":{"code":…,"message":…,"details":…}}` with the status of the error's kind. Details are the
/// problems of an event, and of what may pass how to try again.
pub(crate) fn refusal(error: &Error, reconnect: Reconnect) -> Response<Body> {
    let (status, code) = named(error.kind());
    let problems = error.problems();
    let details = if problems.is_empty() {
        error.retry_delay().map(|_| Details::Pauses {
            backoff: reconnect.into(),
        })
    } else {
        Some(Details::Problems(problems))
    };
    let fields = Fields {
        code,
        message: error.message(),
        details,
    };
    let mut response = json(status, &Envelope { error: fields });
    if let Some(after) = error.retry_delay() {
        // In whole seconds, and never 0: that would mean now.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The code of an error that a client is told.
pub(crate) fn code(kind: ErrorKind) -> &'static str {
    named(kind).1
}

fn named(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::Unauthorized | ErrorKind::TokenExpired => {
            (StatusCode::UNAUTHORIZED, "AUTH_FAILED")
        }
        ErrorKind::PermissionDenied => (StatusCode::FORBIDDEN, "FORBIDDEN"),
        ErrorKind::MethodNotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        ErrorKind::InvalidEvent => (StatusCode::UNPROCESSABLE_ENTITY, "INVALID_EVENT"),
        ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
        ErrorKind::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"),
        ErrorKind::LimitExceeded => (StatusCode::TOO_MANY_REQUESTS, "CONNECTION_LIMIT"),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE"),
        ErrorKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
        _ => (StatusCode::BAD_REQUEST, "INVALID_REQUEST"),
    }
}

/// What a client is told that could not be recognized.
pub(crate) fn unauthenticated(error: &AuthError) -> Error {
    match error {
        AuthError::Unavailable(_) => Error::new(ErrorKind::Unavailable, error.to_string())
            .retry_after(Duration::from_secs(5)),
        AuthError::Expired => Error::new(ErrorKind::TokenExpired, error.to_string()),
        _ => Error::new(ErrorKind::Unauthorized, error.to_string()),
    }
}

/// A node that takes in nobody, or nobody more.
pub(crate) fn not_opened(disconnect: &Disconnect) -> Error {
    let kind = if *disconnect == Disconnect::SHUTDOWN {
        ErrorKind::Unavailable
    } else {
        ErrorKind::LimitExceeded
    };
    Error::new(kind, disconnect.reason().to_owned()).retry_after(Duration::from_secs(5))
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_vec(value).expect("our answers are plain structs, maps and strings");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
