//! How packets lie in the body of a poll.

use bytes::{Bytes, BytesMut};
use fanfare::Framing;

use super::engine_packet::{SEPARATOR, split};

/// A packet with the separator of HTTP long-polling behind it. Whoever makes a body of such frames
/// leaves out the last separator.
#[derive(Clone, Copy, Debug, Default)]
pub struct PollingFraming;

impl Framing for PollingFraming {
    fn name(&self) -> &'static str {
        "engine-io-polling"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(message);
        out.extend_from_slice(&[SEPARATOR]);
    }
}

/// Packets that were framed for polling, with or without the last separator, in another framing.
pub(super) fn reframe(packets: &[u8], framing: &dyn Framing) -> Bytes {
    let mut out = BytesMut::new();
    for packet in split(packets).filter(|packet| !packet.is_empty()) {
        framing.frame(packet, &mut out);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::WebSocketFraming;

    #[test]
    fn every_packet_becomes_a_message_of_its_own() {
        for packets in [&b"2\x1e42[\"a\"]\x1e"[..], b"2\x1e42[\"a\"]"] {
            let reframed = reframe(packets, &WebSocketFraming);
            assert_eq!(&reframed[..], b"\x81\x012\x81\x0742[\"a\"]");
        }
        assert!(reframe(b"", &WebSocketFraming).is_empty());
    }
}
