//! Packets of Engine.IO, version 4, without I/O: what lies around every message of Socket.IO.
//!
//! Source: `README.md` of the repository socketio/engine.io-protocol, "Protocol".

use std::fmt;

/// Between the packets of one body in HTTP long-polling.
pub const SEPARATOR: u8 = 0x1e;

/// One packet as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnginePacket<'a> {
    /// The server's answer to the handshake.
    Open(&'a str),
    /// The connection ends.
    Close,
    /// By the server: is the client there? By the client: a probe of a new transport.
    Ping(&'a str),
    /// The answer to a ping, with its payload.
    Pong(&'a str),
    /// A packet of Socket.IO.
    Message(&'a str),
    /// The client goes on, on the transport on which this comes.
    Upgrade,
    /// Nothing: it ends a poll.
    Noop,
}

/// Why a text is no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnginePacketError {
    /// There is nothing.
    Empty,
    /// It begins with a type that is none, or is not text.
    Type(char),
    /// It is binary data in Base64, which this server does not take.
    Binary,
    /// It carries data, where its type has none.
    Payload(char),
    /// It is not UTF-8.
    NotUtf8,
}

impl fmt::Display for EnginePacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an empty packet"),
            Self::Type(found) => write!(f, "a packet of the unknown type {found:?}"),
            Self::Binary => f.write_str("a packet with binary data"),
            Self::Payload(kind) => write!(f, "a packet of type {kind} with data"),
            Self::NotUtf8 => f.write_str("a packet that is not UTF-8"),
        }
    }
}

impl std::error::Error for EnginePacketError {}

impl<'a> EnginePacket<'a> {
    /// Reads one packet.
    ///
    /// # Errors
    /// Why it is none.
    pub fn decode(text: &'a str) -> Result<Self, EnginePacketError> {
        let mut characters = text.chars();
        let kind = characters.next().ok_or(EnginePacketError::Empty)?;
        let data = characters.as_str();
        let bare = |packet| {
            data.is_empty()
                .then_some(packet)
                .ok_or(EnginePacketError::Payload(kind))
        };
        match kind {
            '0' => Ok(Self::Open(data)),
            '1' => bare(Self::Close),
            '2' => Ok(Self::Ping(data)),
            '3' => Ok(Self::Pong(data)),
            '4' => Ok(Self::Message(data)),
            '5' => bare(Self::Upgrade),
            '6' => bare(Self::Noop),
            'b' => Err(EnginePacketError::Binary),
            other => Err(EnginePacketError::Type(other)),
        }
    }

    /// [`decode`](Self::decode) for bytes as they came.
    ///
    /// # Errors
    /// Why they are no packet.
    pub fn decode_bytes(bytes: &'a [u8]) -> Result<Self, EnginePacketError> {
        Self::decode(std::str::from_utf8(bytes).map_err(|_| EnginePacketError::NotUtf8)?)
    }

    /// Appends the packet as it lies on the wire.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        let (kind, data) = match self {
            Self::Open(data) => (b'0', *data),
            Self::Close => (b'1', ""),
            Self::Ping(data) => (b'2', *data),
            Self::Pong(data) => (b'3', *data),
            Self::Message(data) => (b'4', *data),
            Self::Upgrade => (b'5', ""),
            Self::Noop => (b'6', ""),
        };
        out.push(kind);
        out.extend_from_slice(data.as_bytes());
    }
}

/// The packets of one body in HTTP long-polling, each still to be decoded.
pub fn split(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|&byte| byte == SEPARATOR)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet() -> impl Strategy<Value = (u8, String)> {
        (0u8..7, "[^\u{1e}]{0,20}")
    }

    fn build((kind, data): &(u8, String)) -> EnginePacket<'_> {
        match kind {
            0 => EnginePacket::Open(data),
            1 => EnginePacket::Close,
            2 => EnginePacket::Ping(data),
            3 => EnginePacket::Pong(data),
            4 => EnginePacket::Message(data),
            5 => EnginePacket::Upgrade,
            _ => EnginePacket::Noop,
        }
    }

    #[test]
    fn what_is_no_packet_is_named() {
        for (text, error) in [
            ("", EnginePacketError::Empty),
            ("7", EnginePacketError::Type('7')),
            ("é", EnginePacketError::Type('é')),
            ("bAQID", EnginePacketError::Binary),
            ("1x", EnginePacketError::Payload('1')),
            ("5 ", EnginePacketError::Payload('5')),
            ("66", EnginePacketError::Payload('6')),
        ] {
            assert_eq!(EnginePacket::decode(text), Err(error), "{text:?}");
        }
        assert_eq!(
            EnginePacket::decode_bytes(b"4\xff"),
            Err(EnginePacketError::NotUtf8)
        );
    }

    proptest! {
        #[test]
        fn packets_come_back_as_they_went(packets in prop::collection::vec(packet(), 1..9)) {
            let mut body = Vec::new();
            for (at, packet) in packets.iter().enumerate() {
                if at > 0 {
                    body.push(SEPARATOR);
                }
                build(packet).encode_to(&mut body);
            }
            let decoded = split(&body).map(EnginePacket::decode_bytes).collect::<Result<Vec<_>, _>>();
            prop_assert_eq!(decoded.unwrap(), packets.iter().map(build).collect::<Vec<_>>());
        }

        #[test]
        fn what_decodes_encodes_to_the_same(text in ".{0,30}") {
            if let Ok(packet) = EnginePacket::decode(&text) {
                let mut encoded = Vec::new();
                packet.encode_to(&mut encoded);
                prop_assert_eq!(encoded, text.as_bytes());
            }
        }
    }
}
