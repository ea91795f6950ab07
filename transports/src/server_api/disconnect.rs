//! Sending a user away.

use bytes::Bytes;
use fanfare::{Disconnect, Error, Node};
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::bad_request;
use crate::Body;
use crate::publish::read;
use crate::refusal::json;

/// Bytes of a body: many times what the longest reason needs, each of its bytes escaped.
const MAX_BODY: usize = 16 << 10;
/// Bytes of a reason that a WebSocket's close frame can carry beside the code (RFC 6455, sections
/// 5.5 and 5.5.1).
const MAX_REASON: usize = 123;

/// How to send them away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Instruction {
    #[serde(default = "stay_away")]
    code: u16,
    #[serde(default)]
    reason: String,
}

#[derive(Serialize)]
struct Disconnected {
    disconnected: usize,
}

/// Closes a user's connections, to whichever node, with the code that the body names.
pub(super) async fn disconnect<B>(node: &Node, user: &str, body: B) -> Result<Response<Body>, Error>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let disconnect = instructed(&read(body, MAX_BODY).await?)?;
    let disconnected = node.disconnect_user(user, &disconnect).await;
    Ok(json(StatusCode::OK, &Disconnected { disconnected }))
}

fn instructed(body: &[u8]) -> Result<Disconnect, Error> {
    if body.is_empty() {
        return Ok(Disconnect::FORCE_NO_RECONNECT);
    }
    // By way of a map: a struct alone would be read from an array as well.
    let Instruction { code, reason } = serde_json::from_slice::<Map<String, Value>>(body)
        .and_then(|fields| serde_json::from_value(Value::Object(fields)))
        .map_err(|error| bad_request(format!("no {{\"code\", \"reason\"}}: {error}")))?;
    let built_in = [Disconnect::FORCE_NO_RECONNECT, Disconnect::FORCE_RECONNECT];
    if let Some(known) = built_in.into_iter().find(|known| known.code() == code) {
        return if reason.is_empty() {
            Ok(known)
        } else {
            Err(bad_request(format!("{code} has its own reason")))
        };
    }
    if reason.len() > MAX_REASON {
        let message = format!(
            "the reason has {} bytes, at most {MAX_REASON} are allowed",
            reason.len()
        );
        return Err(bad_request(message));
    }
    Disconnect::custom(code, reason)
        .ok_or_else(|| bad_request("the code is 3503, 3011, or one of 4000 to 4999"))
}

fn stay_away() -> u16 {
    Disconnect::FORCE_NO_RECONNECT.code()
}

#[cfg(test)]
mod tests {
    use fanfare::ErrorKind;

    use super::*;

    fn code(body: &str) -> u16 {
        instructed(body.as_bytes()).unwrap().code()
    }

    #[test]
    fn a_body_chooses_the_code() {
        assert_eq!(code(""), 3503);
        assert_eq!(code("{}"), 3503);
        assert_eq!(code(r#"{"code":3503}"#), 3503);
        assert_eq!(code(r#"{"code":3011}"#), 3011);
        assert_eq!(code(r#"{"code":4000}"#), 4000);
        let own = instructed(br#"{"code":4999,"reason":"maintenance"}"#).unwrap();
        assert_eq!((own.code(), own.reason()), (4999, "maintenance"));
    }

    #[test]
    fn a_reason_fits_a_close_frame() {
        let with = |reason: String| {
            instructed(
                serde_json::json!({ "code": 4000, "reason": reason })
                    .to_string()
                    .as_bytes(),
            )
        };
        assert_eq!(with("\u{20ac}".repeat(41)).unwrap().reason().len(), 123);
        let error = with("\u{20ac}".repeat(41) + "x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
    }

    #[test]
    fn anything_else_is_refused() {
        for body in [
            " ",
            "null",
            "7",
            "\"x\"",
            "[]",
            "[4000,\"x\"]",
            "{",
            "{} {}",
            "\u{0}",
            r#"{"code":null}"#,
            r#"{"code":"4000"}"#,
            r#"{"code":4000.0}"#,
            r#"{"code":-1}"#,
            r#"{"code":70000}"#,
            r#"{"code":1000}"#,
            r#"{"code":3000}"#,
            r#"{"code":3001}"#,
            r#"{"code":3999}"#,
            r#"{"code":5000}"#,
            r#"{"code":4000,"reason":7}"#,
            r#"{"code":4000,"reason":null}"#,
            r#"{"code":4000,"x":1}"#,
            r#"{"reason":"x"}"#,
            r#"{"code":3011,"reason":"x"}"#,
        ] {
            let error = instructed(body.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadRequest, "{body}");
        }
    }
}
