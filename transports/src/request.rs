//! What a request says, apart from its body.

use std::borrow::Cow;

use fanfare::{Channel, Error, ErrorKind, Handshake};
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The token of a request: `Authorization: Bearer`, else `?token=`.
pub(crate) fn token(parts: &Parts) -> Option<String> {
    bearer(&parts.headers)
        .map(str::to_owned)
        .or_else(|| query(parts, "token").next().map(Cow::into_owned))
        .filter(|token| !token.is_empty())
}

/// The credential of `Authorization: Bearer` (RFC 6750 section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| credential.trim())
}

/// The values of a query parameter, decoded.
pub(crate) fn query<'a>(parts: &'a Parts, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        .filter(move |(key, _)| key == name)
        .map(|(_, value)| value)
}

/// The channels of `?channel=A&channel=B`.
pub(crate) fn channels(parts: &Parts) -> Result<Vec<Channel>, Error> {
    query(parts, "channel")
        .map(|name| {
            Channel::new(&name)
                .map_err(|error| Error::new(ErrorKind::BadRequest, error.to_string()))
        })
        .collect()
}

pub(crate) fn handshake(parts: &Parts) -> Handshake {
    Handshake {
        token: token(parts),
        headers: parts.headers.clone(),
    }
}

/// The `Last-Event-ID` header (HTML, "Server-sent events"); none where it is empty.
pub(crate) fn last_event_id(parts: &Parts) -> Result<Option<&str>, Error> {
    let Some(value) = parts.headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(id) => Ok(Some(id).filter(|id| !id.is_empty())),
        Err(_) => {
            let message = "Last-Event-ID: it is none that this server gives out";
            Err(Error::new(ErrorKind::BadRequest, message))
        }
    }
}
