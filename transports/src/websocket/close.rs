//! The body of a close frame: a code and a reason (RFC 6455, sections 5.5.1 and 7.4).

use std::borrow::Cow;

use super::frame::{MAX_CONTROL_PAYLOAD, ProtocolError, utf8};

/// The purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// No code was in the close frame. Never on the wire: [`close_frame`](super::frame::close_frame)
/// turns it into a frame without a body.
pub const NO_STATUS: u16 = 1005;
/// The data does not fit the type of its message, as text that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// The message is bigger than this endpoint takes.
pub const MESSAGE_TOO_BIG: u16 = 1009;

const CODE_LENGTH: usize = 2;
const MAX_REASON: usize = MAX_CONTROL_PAYLOAD - CODE_LENGTH;

/// Why the other side closes the connection (RFC 6455, section 5.5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// A code for which [`may_be_on_the_wire`] holds.
    pub code: u16,
    /// Up to 123 bytes meant for a developer, often empty.
    pub reason: Cow<'a, str>,
}

impl<'a> CloseFrame<'a> {
    /// Detaches the reason from the buffer that it was read from.
    pub fn into_owned(self) -> CloseFrame<'static> {
        CloseFrame {
            code: self.code,
            reason: Cow::Owned(self.reason.into_owned()),
        }
    }

    /// Reads the unmasked body of a close frame. No body is no code.
    pub(super) fn parse(body: &Cow<'a, [u8]>) -> Result<Option<Self>, ProtocolError> {
        let code = match **body {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::CloseLength),
            [high, low, ..] => u16::from_be_bytes([high, low]),
        };
        if !may_be_on_the_wire(code) {
            return Err(ProtocolError::CloseCode(code));
        }
        let reason = match body {
            Cow::Borrowed(body) => Cow::Borrowed(utf8(&body[CODE_LENGTH..])?),
            Cow::Owned(body) => Cow::Owned(utf8(&body[CODE_LENGTH..])?.to_owned()),
        };
        Ok(Some(Self { code, reason }))
    }
}

/// Whether a close frame may carry this code (RFC 6455, section 7.4, and the IANA registry of
/// close codes that it opened).
///
/// 1004 is reserved; 1005, 1006 and 1015 are for local use; 1016 to 2999 are not registered.
pub const fn may_be_on_the_wire(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The body of a close frame, its reason cut to what a control frame can hold.
pub(super) fn body(code: u16, reason: &str) -> Vec<u8> {
    if !may_be_on_the_wire(code) {
        return Vec::new();
    }
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = &reason[..end];
    let mut body = Vec::with_capacity(CODE_LENGTH + reason.len());
    body.extend_from_slice(&code.to_be_bytes());
    body.extend_from_slice(reason.as_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &[u8]) -> Result<Option<CloseFrame<'static>>, ProtocolError> {
        let borrowed = CloseFrame::parse(&Cow::Borrowed(body));
        let owned = CloseFrame::parse(&Cow::Owned(body.to_vec()));
        assert_eq!(borrowed, owned);
        owned.map(|frame| frame.map(CloseFrame::into_owned))
    }

    #[test]
    fn codes_follow_section_7_4() {
        for code in 0..=u16::MAX {
            let expected = match code {
                1004 | 1005 | 1006 | 1015 => false,
                1000..=1014 | 3000..=4999 => true,
                _ => false,
            };
            assert_eq!(may_be_on_the_wire(code), expected, "{code}");
            let refusal = parse(&code.to_be_bytes()).err();
            assert_eq!(
                refusal,
                (!expected).then_some(ProtocolError::CloseCode(code))
            );
        }
    }

    #[test]
    fn a_body_is_empty_or_starts_with_a_code() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(&[3]), Err(ProtocolError::CloseLength));
        let bye = CloseFrame {
            code: 1001,
            reason: Cow::Borrowed("bye"),
        };
        assert_eq!(parse(b"\x03\xe9bye"), Ok(Some(bye)));
    }

    #[test]
    fn a_reason_is_utf8() {
        assert_eq!(parse(b"\x03\xe8\xff"), Err(ProtocolError::InvalidUtf8));
        assert_eq!(parse(b"\x03\xe8\xe2\x82"), Err(ProtocolError::InvalidUtf8));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(body(NORMAL, &"a".repeat(200)).len(), 125);
        let cut = body(NORMAL, &"\u{20ac}".repeat(50));
        assert_eq!(cut.len(), 2 + 41 * 3);
        let cut = body(NORMAL, &("a".to_owned() + &"\u{20ac}".repeat(50)));
        assert_eq!(cut.len(), 2 + 1 + 40 * 3);
        assert!(parse(&cut).is_ok());
    }

    #[test]
    fn a_code_for_local_use_leaves_the_body_empty() {
        for code in [0, 999, 1004, NO_STATUS, 1006, 1015, 2999, 5000] {
            assert_eq!(body(code, "reason"), b"");
        }
    }
}
