//! permessage-deflate (RFC 7692): which offer is accepted, and messages compressed.

use bytes::BytesMut;
use fanfare::Framing;
use fanfare::config::Compression;
use http::{HeaderMap, HeaderValue, header};

use super::WebSocketFraming;
use super::frame::{DataOpcode, compressed_header};
use crate::compression::{SYNC_FLUSH, deflate};

const NAME: &str = "permessage-deflate";
/// The answer. Each message is compressed by itself: a flush is compressed once for all its
/// subscribers, and a connection holds no dictionary.
const ACCEPTED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// The same for a client that bounds the server's window by the largest there is.
const ACCEPTED_AT_15_BITS: &str = "permessage-deflate; server_no_context_takeover; \
     client_no_context_takeover; server_max_window_bits=15";

/// A message as one unmasked text frame, compressed (RFC 7692 section 7.2.1) where it is at least as
/// long as the threshold and becomes shorter.
#[derive(Clone, Copy, Debug)]
pub struct DeflateFraming {
    threshold: usize,
    level: u8,
}

impl DeflateFraming {
    /// The framing of a connection whose client was given [`accept`]'s answer.
    #[must_use]
    pub const fn new(config: &Compression) -> Self {
        Self {
            threshold: config.threshold,
            level: config.level,
        }
    }
}

impl Framing for DeflateFraming {
    fn name(&self) -> &'static str {
        "websocket-deflate"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        if message.len() < self.threshold {
            return WebSocketFraming.frame(message, out);
        }
        deflate(self.level, message, |blocks| {
            let blocks = blocks.strip_suffix(&SYNC_FLUSH).unwrap_or(blocks);
            if blocks.len() < message.len() {
                out.extend_from_slice(&compressed_header(DataOpcode::Text, blocks.len()));
                out.extend_from_slice(blocks);
            } else {
                WebSocketFraming.frame(message, out);
            }
        });
    }

    /// As it is: the thread that writes to all sockets of a flush would compress each by itself.
    fn frame_for_one(&self, message: &[u8], out: &mut BytesMut) {
        WebSocketFraming.frame(message, out);
    }
}

/// The value of `Sec-WebSocket-Extensions` to answer a handshake with: that of the first offer of
/// permessage-deflate in its headers that can be accepted; none where there is none.
///
/// An offer is declined for a parameter that is unknown, comes twice, or has a value it must not have
/// (RFC 7692 section 7.1), and for a `server_max_window_bits` below 15: a smaller window would be a
/// wire form of its own.
///
/// ```
/// # use http::{HeaderMap, HeaderValue};
/// # use fanfare_transports::websocket::deflate::accept;
/// let offer = HeaderValue::from_static("permessage-deflate; client_max_window_bits");
/// let headers = HeaderMap::from_iter([(http::header::SEC_WEBSOCKET_EXTENSIONS, offer)]);
/// assert_eq!(
///     accept(&headers).unwrap(),
///     "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
/// );
/// ```
#[must_use]
pub fn accept(headers: &HeaderMap) -> Option<HeaderValue> {
    headers
        .get_all(header::SEC_WEBSOCKET_EXTENSIONS)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| outside_quotes(value, ','))
        .find_map(answer)
        .map(HeaderValue::from_static)
}

fn answer(offer: &str) -> Option<&'static str> {
    let mut parts = outside_quotes(offer, ';').map(str::trim);
    if parts.next() != Some(NAME) {
        return None;
    }
    let mut known = [
        ("server_no_context_takeover", false),
        ("client_no_context_takeover", false),
        ("server_max_window_bits", false),
        ("client_max_window_bits", false),
    ];
    let mut bounds_server = false;
    for parameter in parts {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquoted(value.trim_start())?)),
            None => (parameter, None),
        };
        let (_, seen) = known.iter_mut().find(|(known, _)| *known == name)?;
        if std::mem::replace(seen, true) {
            return None;
        }
        match (name, value) {
            ("server_max_window_bits", Some("15")) => bounds_server = true,
            // Whatever window the client chooses, ours holds it.
            ("client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(bits)) if is_window(bits) => {}
            ("server_no_context_takeover" | "client_no_context_takeover", None) => {}
            _ => return None,
        }
    }
    Some(if bounds_server {
        ACCEPTED_AT_15_BITS
    } else {
        ACCEPTED
    })
}

/// A number from 8 to 15 without leading zeros (RFC 7692 section 7.1.2).
fn is_window(bits: &str) -> bool {
    matches!(bits, "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")
}

/// A value may be written as a quoted string, whose content must be what could stand without quotes
/// (RFC 6455 section 9.1).
fn unquoted(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value),
    }
}

fn outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |character| {
        is_quoted ^= character == '"';
        character == separator && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(offers: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(
                header::SEC_WEBSOCKET_EXTENSIONS,
                HeaderValue::from_str(offer).unwrap(),
            );
        }
        accept(&headers).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn offers_that_can_be_accepted() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate;client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=\"10\"",
            "permessage-deflate ; server_no_context_takeover ; client_no_context_takeover",
            "x-webkit-deflate-frame, permessage-deflate",
            "permessage-foo; a=\"x, permessage-deflate; y\", permessage-deflate",
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
        ] {
            assert_eq!(accepted(&[offer]).as_deref(), Some(ACCEPTED), "{offer}");
        }
        assert_eq!(
            accepted(&["permessage-deflate; server_max_window_bits=15"]).as_deref(),
            Some(ACCEPTED_AT_15_BITS)
        );
        let second = accepted(&["permessage-deflate; x", "permessage-deflate"]);
        assert_eq!(second.as_deref(), Some(ACCEPTED));
    }

    #[test]
    fn offers_that_are_declined() {
        for offer in [
            "",
            ",",
            "deflate",
            "PERMESSAGE-DEFLATE",
            "permessage-deflate; unknown",
            "permessage-deflate; unknown=1",
            "permessage-deflate;",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=010",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=\"10",
            "permessage-deflate; client_max_window_bits=\"\"",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=14",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "a=\"permessage-deflate",
        ] {
            assert_eq!(accepted(&[offer]), None, "{offer}");
        }
        assert_eq!(accepted(&[]), None);
    }

    #[test]
    fn a_message_is_compressed_from_the_threshold_on_and_where_that_helps() {
        let framing = DeflateFraming::new(&Compression::default());
        let framed = |message: &[u8]| {
            let mut out = BytesMut::new();
            framing.frame(message, &mut out);
            out
        };
        let first = |message: &[u8]| framed(message)[0];
        assert_eq!(first(&[b'a'; 1023]), 0b1000_0001);
        assert_eq!(first(&[b'a'; 1024]), 0b1100_0001);
        // FIN, RSV1 and text; the text of RFC 7692 section 7.2.3.1 compresses to its bytes.
        let hello = DeflateFraming {
            threshold: 0,
            level: 1,
        };
        let mut out = BytesMut::new();
        hello.frame(&b"Hello".repeat(3), &mut out);
        assert_eq!(out[0], 0b1100_0001);
        assert_eq!(usize::from(out[1]), out.len() - 2);
        assert!(!out.ends_with(&SYNC_FLUSH));
        out.clear();
        hello.frame(b"Hi", &mut out);
        assert_eq!(&out[..], b"\x81\x02Hi");
    }
}
