//! The seam for ways of carrying frames to a client.

use crate::disconnect::Disconnect;
use crate::session::Session;

/// One way of carrying frames to a client, driven once per connection.
///
/// The transport owns its socket: it feeds what comes in to [`Session::receive`] and writes what
/// [`Session::outbound`](crate::Session::outbound) gives it. The node never calls a transport.
pub trait Transport: Send + 'static {
    /// Carries one connection to its end and says why it ended. Dropping the future cuts it.
    fn serve(self, session: Session) -> impl Future<Output = Disconnect> + Send;
}
