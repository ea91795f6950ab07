//! Dialects as types: commands in, replies and publications out.

pub mod centrifuge;

use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::channel::Channel;
use crate::cursor::{Cursor, Resume};
use crate::disconnect::Disconnect;
use crate::error::Error;
use crate::event::Publication;
use crate::position::{Epoch, Position};
use crate::presence::Member;
pub use crate::wire::Messages;

/// A dialect as bytes.
///
/// Encoding is called once per flush and wire form, or once per reply; decoding once per client
/// message. A codec has no state: what it says depends on its arguments alone.
pub trait Codec: fmt::Debug + Send + Sync + 'static {
    /// A name of its own: two codecs with one name must produce the same bytes.
    fn name(&self) -> &'static str;

    /// Writes publications of one channel, in order.
    fn publications(
        &self,
        channel: &Channel,
        publications: &[Arc<Publication>],
        messages: &mut Messages<'_>,
    );

    /// Writes the answer to one request.
    fn reply(&self, id: u32, reply: Result<&Reply, &Error>, messages: &mut Messages<'_>);

    /// Writes what one connection is told without having asked.
    fn notice(&self, notice: &Notice, messages: &mut Messages<'_>);

    /// Whether publications carry a cursor over all the channels of their connection. Such a
    /// connection's frames are its own as soon as it has a second channel; with one they are shared
    /// like any other's.
    fn has_cursor(&self) -> bool {
        false
    }

    /// Whether the client answers pings. Of one that does not, nothing is expected, and it is pinged
    /// every [`Heartbeat::comment`](crate::config::Heartbeat).
    fn expects_pong(&self) -> bool {
        true
    }

    /// Writes the dialect's ping; nothing where the transport pings by itself.
    fn ping(&self, messages: &mut Messages<'_>);

    /// Writes where the client stands, which its last publication does not say any more: others came
    /// that are not for it. Stands before a ping. For codecs that carry a cursor; nothing by default.
    fn moved_on(&self, cursor: &Cursor, messages: &mut Messages<'_>) {
        let _ = (cursor, messages);
    }

    /// Reads one client message.
    ///
    /// # Errors
    /// The disconnect that a message deserves which is not of this dialect.
    fn decode(&self, message: &[u8]) -> Result<Vec<Request>, Disconnect>;
}

/// A command with the number under which it is answered; 0 asks for no answer.
#[derive(Debug)]
pub struct Request {
    /// The client's number for it.
    pub id: u32,
    /// What is wanted.
    pub command: Command,
}

/// What a client can ask for, whatever its dialect.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command {
    /// Says who the client is. The first command of a connection.
    Connect(Connect),
    /// Joins a channel.
    Subscribe(Subscribe),
    /// Leaves a channel.
    Unsubscribe {
        /// The name as it came.
        channel: String,
    },
    /// Publishes what the platform lets clients publish.
    Publish {
        /// The name as it came; empty where the data names the channel.
        channel: String,
        /// The event.
        data: Box<RawValue>,
    },
    /// Reads history.
    History {
        /// The name as it came.
        channel: String,
        /// The most publications to answer with; 0 asks for the position alone, none for all.
        limit: Option<usize>,
        /// Publications after this position only; an epoch that cannot be read matches none.
        since: Option<Since>,
        /// Newest first.
        reverse: bool,
    },
    /// Asks who is subscribed.
    Presence {
        /// The name as it came.
        channel: String,
    },
    /// Asks how many are subscribed.
    PresenceStats {
        /// The name as it came.
        channel: String,
    },
    /// Brings a newer token.
    Refresh {
        /// The token.
        token: String,
    },
    /// A ping by the client.
    Ping,
    /// The answer to our ping.
    Pong,
    /// Something of the dialect that no node offers.
    Unsupported,
    /// A command that makes no sense, in a dialect where that does not end the connection. It is
    /// answered with this error.
    Invalid(Error),
}

/// The connect command.
#[derive(Debug, Default)]
pub struct Connect {
    /// The token, if it stands here and not in the request.
    pub token: Option<String>,
    /// Where the client's server-side subscriptions stood when it lost its connection.
    pub positions: Vec<(String, Since)>,
    /// The cursor that it brings. Channels without a position of their own resume from there, those
    /// it subscribes to later too.
    pub resume: Option<Resume>,
}

/// The subscribe command.
#[derive(Debug)]
pub struct Subscribe {
    /// The name as it came.
    pub channel: String,
    /// Where to recover from.
    pub recover: Option<Since>,
    /// Whether the client wants to be told who joins and leaves.
    pub follow: bool,
}

/// A position as a client gave it: the epoch is unchecked text, and empty matches any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// The epoch.
    pub epoch: String,
    /// The offset.
    pub offset: u64,
}

impl Since {
    /// Whether it can be a position of this epoch.
    pub(crate) fn is_of(&self, epoch: Epoch) -> bool {
        // Clients that never learned an epoch send none, which the protocol takes as any.
        self.epoch.is_empty() || self.epoch.parse() == Ok(epoch)
    }
}

impl From<Position> for Since {
    fn from(position: Position) -> Self {
        Self {
            epoch: position.epoch.to_string(),
            offset: position.offset,
        }
    }
}

/// The answer to a command, whatever the dialect.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reply {
    /// To connect.
    Connected(Connected),
    /// To subscribe.
    Subscribed(Subscribed),
    /// To unsubscribe.
    Unsubscribed,
    /// To publish.
    Published,
    /// To history.
    History {
        /// What was asked for.
        publications: Vec<Arc<Publication>>,
        /// The newest position that subscribers have been shown.
        top: Position,
    },
    /// To presence.
    Presence {
        /// Who is there.
        members: Vec<Member>,
    },
    /// To presence stats.
    PresenceStats {
        /// Connections.
        clients: usize,
        /// Users.
        users: usize,
    },
    /// To refresh.
    Refreshed {
        /// Seconds until the new token ends, if it does.
        ttl: Option<u32>,
    },
    /// To ping.
    Pong,
}

/// The answer to connect.
#[derive(Debug)]
pub struct Connected {
    /// The connection's id.
    pub client: String,
    /// Seconds until the token ends, if it does.
    pub ttl: Option<u32>,
    /// The server-side subscriptions.
    pub subscriptions: Vec<Subscribed>,
    /// Seconds between two pings.
    pub ping: u32,
    /// What [`Opening::session`](crate::Opening) said.
    pub session: Option<String>,
    /// The node's id.
    pub node: String,
}

/// The answer to subscribe.
#[derive(Debug)]
pub struct Subscribed {
    /// The channel.
    pub channel: Channel,
    /// Where the client stands before the publications below, and after this reply where there are
    /// none.
    pub position: Position,
    /// Whether a recovery was asked for.
    pub was_recovering: bool,
    /// Whether `publications` are everything since the client's position.
    pub recovered: bool,
    /// What was missed, in order.
    pub publications: Vec<Arc<Publication>>,
}

/// What a connection is told without having asked. Dialects that have no word for one leave it out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// Best-effort events were given up because the client was behind.
    Dropped {
        /// The channel.
        channel: Channel,
        /// How many.
        count: u64,
    },
    /// The server ended a subscription for good: the client may no longer have the channel.
    Unsubscribed {
        /// The channel.
        channel: Channel,
    },
    /// A client has come into the channel. For subscribers that follow, as is the next.
    Joined {
        /// The channel.
        channel: Channel,
        /// The client.
        member: Member,
    },
    /// A client has left the channel, and did not come back in time.
    Left {
        /// The channel.
        channel: Channel,
        /// The client.
        member: Member,
    },
}

impl Notice {
    /// The channel that it concerns.
    #[must_use]
    pub const fn channel(&self) -> &Channel {
        match self {
            Self::Dropped { channel, .. }
            | Self::Unsubscribed { channel }
            | Self::Joined { channel, .. }
            | Self::Left { channel, .. } => channel,
        }
    }
}
