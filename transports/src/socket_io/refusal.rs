//! Refusals as Engine.IO writes them.

use http::{Response, StatusCode};
use serde::Serialize;

use crate::Body;
use crate::refusal::json;

/// Why a request is not for a connection of ours; the numbers are those of the reference server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownTransport = 0,
    UnknownSession = 1,
    BadHandshakeMethod = 2,
    BadRequest = 3,
    Forbidden = 4,
    UnsupportedVersion = 5,
}

#[derive(Serialize)]
struct Fields {
    code: u8,
    message: &'static str,
    /// What every other path of this server answers, for those who look for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorFields>,
}

#[derive(Serialize)]
struct ErrorFields {
    code: &'static str,
    message: &'static str,
}

impl Refusal {
    pub(super) fn response(self) -> Response<Body> {
        let message = match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSession => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedVersion => "Unsupported protocol version",
        };
        let (status, error) = match self {
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                Some(ErrorFields {
                    code: "FORBIDDEN",
                    message: "this origin may not connect",
                }),
            ),
            _ => (StatusCode::BAD_REQUEST, None),
        };
        let fields = Fields {
            code: self as u8,
            message,
            error,
        };
        json(status, &fields)
    }
}
