use std::ops::Deref;

use bytes::Bytes;

use super::MAX_CONTROL_PAYLOAD;
use super::header::{
    COMPRESSED, ControlOpcode, DataOpcode, FIN, LENGTH_IN_2_BYTES, LENGTH_IN_8_BYTES,
};
use crate::websocket::close;

/// The header of an unfragmented frame from the server. Dereferences to its bytes.
#[derive(Debug, Clone, Copy)]
pub struct ServerHeader {
    bytes: [u8; 10],
    length: u8,
}

/// The header of a whole message of `payload_length` bytes: FIN, no mask, the length in the fewest
/// bytes (RFC 6455, section 5.2). The payload goes to the socket behind it as it is.
pub fn header(opcode: DataOpcode, payload_length: usize) -> ServerHeader {
    server_header(opcode as u8, payload_length)
}

/// The header of a whole message that is compressed to `payload_length` bytes (RFC 7692, section 6).
pub(in crate::websocket) fn compressed_header(
    opcode: DataOpcode,
    payload_length: usize,
) -> ServerHeader {
    server_header(COMPRESSED | opcode as u8, payload_length)
}

/// A ping frame (RFC 6455, section 5.5.2). A payload over 125 bytes, more than a control frame
/// can hold, is cut.
pub fn ping_frame(payload: &[u8]) -> Bytes {
    control_frame(ControlOpcode::Ping, payload)
}

/// A pong frame, the answer to a ping with the same payload (RFC 6455, section 5.5.3). A payload
/// over 125 bytes is cut; that of a received ping never is.
pub fn pong_frame(payload: &[u8]) -> Bytes {
    control_frame(ControlOpcode::Pong, payload)
}

/// A close frame (RFC 6455, section 5.5.1). The reason is cut, between characters, to the 123
/// bytes for which there is room.
///
/// A code that may not be on the wire (section 7.4.1) leaves the body out, reason and all. So the
/// answer to a close frame without a body is `close_frame(close::NO_STATUS, "")`.
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    control_frame(ControlOpcode::Close, &close::body(code, reason))
}

impl Deref for ServerHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl AsRef<[u8]> for ServerHeader {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

fn control_frame(opcode: ControlOpcode, payload: &[u8]) -> Bytes {
    let payload = &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)];
    Bytes::from([&*server_header(opcode as u8, payload.len()), payload].concat())
}

pub(super) fn server_header(opcode: u8, payload_length: usize) -> ServerHeader {
    let mut bytes = [0; 10];
    bytes[0] = FIN | opcode;
    let length = if payload_length < usize::from(LENGTH_IN_2_BYTES) {
        bytes[1] = payload_length as u8;
        2
    } else if let Ok(payload_length) = u16::try_from(payload_length) {
        bytes[1] = LENGTH_IN_2_BYTES;
        bytes[2..4].copy_from_slice(&payload_length.to_be_bytes());
        4
    } else {
        bytes[1] = LENGTH_IN_8_BYTES;
        bytes[2..].copy_from_slice(&(payload_length as u64).to_be_bytes());
        10
    };
    ServerHeader { bytes, length }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_fewest_bytes() {
        let header = |length| header(DataOpcode::Text, length).to_vec();
        assert_eq!(header(0), [0x81, 0]);
        assert_eq!(header(125), [0x81, 125]);
        assert_eq!(header(126), [0x81, 126, 0, 126]);
        assert_eq!(header(0xffff), [0x81, 126, 0xff, 0xff]);
        assert_eq!(header(0x1_0000), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_binary_message_says_so() {
        assert_eq!(*header(DataOpcode::Binary, 1), [0x82, 1]);
    }

    #[test]
    fn control_frames() {
        assert_eq!(*ping_frame(b""), [0x89, 0]);
        assert_eq!(*pong_frame(b"ab"), *b"\x8a\x02ab");
        assert_eq!(*close_frame(1000, "bye"), *b"\x88\x05\x03\xe8bye");
        assert_eq!(*close_frame(close::NO_STATUS, ""), [0x88, 0]);
    }

    #[test]
    fn control_frames_hold_125_bytes() {
        assert_eq!(ping_frame(&[0; 126]).len(), 2 + 125);
        assert_eq!(pong_frame(&[0; 125]).len(), 2 + 125);
        assert_eq!(close_frame(1000, &"a".repeat(124)).len(), 2 + 125);
    }
}
