//! How a message lies on the wire.

use std::fmt;

use bytes::BytesMut;

/// Puts one encoded message into the form in which it is written to the socket, header included.
///
/// Called once per flush and wire form, never per subscriber: the result must not depend on the
/// connection.
pub trait Framing: fmt::Debug + Send + Sync + 'static {
    /// A name of its own: two framings with one name must produce the same bytes.
    fn name(&self) -> &'static str;

    /// Appends `message` to `out` as it lies on the wire.
    fn frame(&self, message: &[u8], out: &mut BytesMut);
}
