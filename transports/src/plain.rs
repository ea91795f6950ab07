//! Messages that delimit themselves.

use bytes::BytesMut;
use fanfare::Framing;

/// Puts nothing around messages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plain;

impl Framing for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(message);
    }
}
