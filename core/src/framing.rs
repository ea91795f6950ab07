//! How a message lies on the wire.

use std::fmt;

use bytes::BytesMut;

/// Puts one encoded message into the form in which it is written to the socket, header included.
///
/// Called once per flush and wire form: the result must not depend on the connection.
pub trait Framing: fmt::Debug + Send + Sync + 'static {
    /// A name of its own: two framings with one name must produce the same bytes.
    fn name(&self) -> &'static str;

    /// Appends `message` to `out` as it lies on the wire.
    fn frame(&self, message: &[u8], out: &mut BytesMut);

    /// Appends a message that one connection has for itself, in any way its client reads as it does
    /// the other one.
    ///
    /// For framings that spend time on a message because many share it: this is called while fan-out
    /// waits, for each connection whose cursor stands in its frames, or that is behind.
    fn frame_for_one(&self, message: &[u8], out: &mut BytesMut) {
        self.frame(message, out);
    }
}
