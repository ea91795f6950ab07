use std::{error::Error, fmt};

use crate::websocket::close;

/// What a client did against RFC 6455, or against the message limit.
///
/// Whoever gets one sends a close frame with its [`close_code`](Self::close_code) and drops the
/// connection (RFC 6455, section 7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set for which no extension was agreed on (section 5.2), or the bit of
    /// permessage-deflate where a message does not begin (RFC 7692, section 6).
    ReservedBits,
    /// This opcode has no meaning (section 5.2).
    ReservedOpcode(u8),
    /// The frame is not masked (section 5.1).
    Unmasked,
    /// A ping, pong or close comes in fragments (section 5.5).
    FragmentedControl,
    /// The payload of a ping, pong or close is over 125 bytes (section 5.5).
    ControlTooLong,
    /// The length stands in more bytes than it needs (section 5.2).
    LengthNotMinimal,
    /// The top bit of a 64-bit length is set (section 5.2).
    LengthOutOfRange,
    /// A continuation without a message to continue (section 5.4).
    UnexpectedContinuation,
    /// A new message before the last fragment of the previous one (section 5.4).
    UnfinishedMessage,
    /// The body of a close frame is a single byte (section 5.5.1).
    CloseLength,
    /// A close frame carries a code that must not be on the wire (section 7.4).
    CloseCode(u16),
    /// Text, or the reason of a close frame, is not UTF-8 (section 8.1).
    InvalidUtf8,
    /// A compressed message is no deflate stream, or stops inside a block (RFC 7692, section 7.2.2).
    InvalidDeflate,
    /// The fragments of the message are more than the limit together (section 10.4).
    MessageTooBig,
}

impl ProtocolError {
    /// The code that tells the client what happened (RFC 6455, section 7.4.1): 1007 for text that
    /// is not UTF-8 and data that is not deflate, 1009 for a message over the limit, 1002 for everything else.
    pub const fn close_code(self) -> u16 {
        match self {
            Self::InvalidUtf8 | Self::InvalidDeflate => close::INVALID_PAYLOAD,
            Self::MessageTooBig => close::MESSAGE_TOO_BIG,
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::Unmasked
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::LengthNotMinimal
            | Self::LengthOutOfRange
            | Self::UnexpectedContinuation
            | Self::UnfinishedMessage
            | Self::CloseLength
            | Self::CloseCode(_) => close::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => f.write_str("reserved bits are set"),
            Self::ReservedOpcode(opcode) => write!(f, "opcode {opcode:#x} is reserved"),
            Self::Unmasked => f.write_str("client frame is not masked"),
            Self::FragmentedControl => f.write_str("control frame is fragmented"),
            Self::ControlTooLong => f.write_str("control frame is over 125 bytes"),
            Self::LengthNotMinimal => f.write_str("length is not encoded in the fewest bytes"),
            Self::LengthOutOfRange => f.write_str("top bit of the length is set"),
            Self::UnexpectedContinuation => f.write_str("continuation without a message"),
            Self::UnfinishedMessage => f.write_str("new message inside a fragmented one"),
            Self::CloseLength => f.write_str("close frame has a single byte"),
            Self::CloseCode(code) => write!(f, "close code {code} is not allowed"),
            Self::InvalidUtf8 => f.write_str("text is not valid UTF-8"),
            Self::InvalidDeflate => f.write_str("compressed data is not valid deflate"),
            Self::MessageTooBig => f.write_str("message is too big"),
        }
    }
}

impl Error for ProtocolError {}
