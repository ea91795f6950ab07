//! Why a connection ended, as a number the client can act on.

use std::borrow::Cow;
use std::fmt;

/// The end of a connection: a code and a short reason for humans.
///
/// The ranges are those of the Centrifuge protocol, so that its clients know what to do: they come
/// back after 3000 to 3499 and 4000 to 4499 and stay away after 3500 to 3999 and 4500 to 4999.
/// Codes from 4000 on are the application's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    code: u16,
    reason: Cow<'static, str>,
}

impl Disconnect {
    /// The client went away without a word, or the network did.
    pub const CONNECTION_CLOSED: Self = Self::built_in(3000, "connection closed");
    /// The node is going down; other nodes are there.
    pub const SHUTDOWN: Self = Self::built_in(3001, "shutdown");
    /// Something failed that is not the client's fault.
    pub const SERVER_ERROR: Self = Self::built_in(3004, "internal server error");
    /// The token ended and was not refreshed in time.
    pub const EXPIRED: Self = Self::built_in(3005, "connection expired");
    /// The client reads more slowly than its events come, and one that must arrive no longer fits
    /// its outbox. Coming back recovers it from history.
    pub const SLOW: Self = Self::built_in(3008, "slow");
    /// The socket could not be written to.
    pub const WRITE_ERROR: Self = Self::built_in(3009, "write error");
    /// The client's position in a channel no longer fits the server's.
    pub const INSUFFICIENT_STATE: Self = Self::built_in(3010, "insufficient state");
    /// The application wants the client to connect anew.
    pub const FORCE_RECONNECT: Self = Self::built_in(3011, "force reconnect");
    /// A ping was not answered in time.
    pub const NO_PONG: Self = Self::built_in(3012, "no pong");
    /// The token is missing, or is none of ours.
    pub const INVALID_TOKEN: Self = Self::built_in(3500, "invalid token");
    /// A message that is no command, or commands in an order that makes no sense.
    pub const BAD_REQUEST: Self = Self::built_in(3501, "bad request");
    /// The connection was not authenticated in time.
    pub const STALE: Self = Self::built_in(3502, "stale");
    /// The application wants the client to stay away.
    pub const FORCE_NO_RECONNECT: Self = Self::built_in(3503, "force disconnect");
    /// The user, or the node, has as many connections as it may.
    pub const CONNECTION_LIMIT: Self = Self::built_in(3504, "connection limit");
    /// The connection has as many subscriptions as it may.
    pub const CHANNEL_LIMIT: Self = Self::built_in(3505, "channel limit");
    /// The client asked at connect for a channel it may not have.
    pub const PERMISSION_DENIED: Self = Self::built_in(3507, "permission denied");

    const fn built_in(code: u16, reason: &'static str) -> Self {
        Self {
            code,
            reason: Cow::Borrowed(reason),
        }
    }

    /// A disconnect of the application's own; none unless `code` is in 4000 to 4999.
    #[must_use]
    pub fn custom(code: u16, reason: impl Into<Cow<'static, str>>) -> Option<Self> {
        (4000..5000).contains(&code).then(|| Self {
            code,
            reason: reason.into(),
        })
    }

    /// One that another node named.
    pub(crate) fn of_node(code: u16, reason: String) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    /// The number the client sees, for instance in the WebSocket close frame.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// A few words for humans.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether a client should come back.
    #[must_use]
    pub const fn reconnect(&self) -> bool {
        matches!(self.code, 3000..=3499 | 4000..=4499)
    }

    /// Whether what still waits for the client is given up, because it cannot or need not arrive.
    pub(crate) fn is_abrupt(&self) -> bool {
        matches!(self.code, 3000 | 3008 | 3009)
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.code)
    }
}

impl std::error::Error for Disconnect {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_whether_to_come_back() {
        assert!(Disconnect::SHUTDOWN.reconnect());
        assert!(Disconnect::SLOW.reconnect());
        assert!(!Disconnect::INVALID_TOKEN.reconnect());
        assert!(Disconnect::custom(4000, "x").unwrap().reconnect());
        assert!(!Disconnect::custom(4500, "x").unwrap().reconnect());
        assert_eq!(Disconnect::custom(3999, "x"), None);
        assert_eq!(Disconnect::custom(5000, "x"), None);
    }
}
