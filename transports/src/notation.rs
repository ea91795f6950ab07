//! In which notation a client reads envelopes.

use std::borrow::Cow;

use fanfare::Event;
use http::{HeaderMap, HeaderValue, Response, header};
use tracing::warn;

use crate::Body;
use crate::edn;
use crate::weighted::members;

/// How envelopes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Notation {
    /// As they were published.
    #[default]
    Json,
    /// Translated.
    Edn,
}

impl Notation {
    /// Reads `Accept` (RFC 9110 section 12.5.1). EDN is for those who name it, unless they like JSON
    /// better; whatever else is asked for, there is only JSON.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let (mut edn, mut json) = (0, 0);
        for (name, weight) in members(headers, &header::ACCEPT) {
            if name.eq_ignore_ascii_case("application/edn") {
                edn = weight;
            } else if name.eq_ignore_ascii_case("application/json") {
                json = weight;
            }
        }
        if edn > 0 && edn >= json {
            Self::Edn
        } else {
            Self::Json
        }
    }

    /// An event's envelope.
    pub(crate) fn envelope(self, event: &Event) -> Cow<'_, [u8]> {
        match self {
            Self::Json => Cow::Borrowed(event.payload()),
            Self::Edn => Cow::Owned(edn(event.payload(), Some(event.name()))),
        }
    }

    /// JSON of our own.
    pub(crate) fn translate(self, json: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Json => json,
            Self::Edn => edn(&json, None),
        }
    }
}

/// Tells caches that the answer depends on what its client reads.
pub(crate) fn varies(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
}

fn edn(json: &[u8], event: Option<&str>) -> Vec<u8> {
    edn::from_json(json, event).unwrap_or_else(|error| {
        // An event cannot be made of anything but JSON, nor can a frame between nodes be read that
        // carries anything else.
        warn!(%error, "a payload");
        b"nil".to_vec()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_decide() {
        for (accept, expected) in [
            ("", Notation::Json),
            ("*/*", Notation::Json),
            ("application/*", Notation::Json),
            ("text/event-stream", Notation::Json),
            ("application/json", Notation::Json),
            ("application/edn", Notation::Edn),
            ("Application/EDN; charset=utf-8", Notation::Edn),
            ("text/event-stream, application/edn", Notation::Edn),
            ("application/edn;q=0", Notation::Json),
            ("application/edn;q=0.5, application/json", Notation::Json),
            ("application/json;q=0.5, application/edn", Notation::Edn),
            ("application/json, application/edn", Notation::Edn),
            ("application/edn;q=0.1, */*;q=0.2", Notation::Edn),
            ("application/edn+x", Notation::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(Notation::of(&headers), expected, "{accept}");
        }
        assert_eq!(Notation::of(&HeaderMap::new()), Notation::Json);
    }
}
