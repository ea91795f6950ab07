//! Errors as HTTP answers.

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
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    details: &'a [Problem],
}

/// `{"error":{"code":…,"message":…,"details":…}}` with the status of the error's kind.
pub(crate) fn refusal(error: &Error) -> Response<Body> {
    let (status, code) = named(error.kind());
    let fields = Fields {
        code,
        message: error.message(),
        details: error.problems(),
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
            .retry_after(std::time::Duration::from_secs(5)),
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
    Error::new(kind, disconnect.reason().to_owned()).retry_after(std::time::Duration::from_secs(5))
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
