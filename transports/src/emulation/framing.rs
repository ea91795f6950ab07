//! Lines of JSON in an answer.

use bytes::BytesMut;
use fanfare::Framing;

/// Each line by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines;

impl Framing for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(message);
        out.extend_from_slice(b"\n");
    }
}

/// The lines of a message as one event of an EventSource.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EventLines;

impl Framing for EventLines {
    fn name(&self) -> &'static str {
        "event-lines"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        for line in message.split(|byte| *byte == b'\n') {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line);
            out.extend_from_slice(b"\n");
        }
        out.extend_from_slice(b"\n");
    }
}
