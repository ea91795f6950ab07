//! The dialect: commands out of packets, packets out of replies and publications.

mod command;
mod reply;

use std::sync::Arc;

use fanfare::codec::{Messages, Notice, Reply, Request};
use fanfare::config::Reconnect;
use fanfare::{Channel, Codec, Cursor, Disconnect, Error, ErrorKind, Member, Publication};
use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::debug;

pub(super) use self::reply::{pauses, write_connect_error, write_failure};
use super::engine_packet::EnginePacket;
use super::packet::{MAIN, MAX_ACK, Packet, write_string};

/// What an event brings as its argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arguments {
    /// The platform's whole envelope.
    #[default]
    Envelope,
    /// The envelope's `data` alone.
    Data,
}

/// Socket.IO, version 5, inside message packets of Engine.IO, version 4. The official client is
/// `socket.io-client`, from 3.0 on.
///
/// Every message is one packet, on the WebSocket as in a poll's body.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketIo {
    arguments: Arguments,
    recovers: bool,
    reconnect: Option<Reconnect>,
}

impl SocketIo {
    /// The dialect, with what its events bring.
    #[must_use]
    pub const fn new(arguments: Arguments) -> Self {
        Self {
            arguments,
            recovers: false,
            reconnect: None,
        }
    }

    /// The dialect for clients that recover what they miss: every event has the connection's cursor
    /// as an additional last argument, which `socket.io-client` from 4.6 on keeps and brings back.
    #[must_use]
    pub const fn recovering(self) -> Self {
        Self {
            recovers: true,
            ..self
        }
    }

    /// The dialect with what it tells those that are refused for a while: how to try again.
    #[must_use]
    pub const fn telling(self, reconnect: Reconnect) -> Self {
        Self {
            reconnect: Some(reconnect),
            ..self
        }
    }

    fn argument<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            data: &'a RawValue,
        }
        match self.arguments {
            Arguments::Envelope => payload,
            // An event that was published without an envelope is its own data.
            // (And an array would read as the fields in their order.)
            Arguments::Data if !payload.starts_with(b"{") => payload,
            Arguments::Data => serde_json::from_slice::<Envelope<'_>>(payload)
                .map_or(payload, |envelope| envelope.data.get().as_bytes()),
        }
    }
}

impl Codec for SocketIo {
    fn name(&self) -> &'static str {
        match (self.arguments, self.recovers) {
            (Arguments::Envelope, false) => "socket-io-envelope",
            (Arguments::Envelope, true) => "socket-io-envelope-cursor",
            (Arguments::Data, false) => "socket-io-data",
            (Arguments::Data, true) => "socket-io-data-cursor",
        }
    }

    fn publications(
        &self,
        channel: &Channel,
        publications: &[Arc<Publication>],
        messages: &mut Messages<'_>,
    ) {
        for publication in publications {
            let event = publication.event();
            let packet = messages.current();
            packet.extend_from_slice(b"42[");
            write_string(packet, event.name());
            packet.push(b',');
            packet.extend_from_slice(self.argument(event.payload()));
            if self.recovers {
                let before = packet.len();
                packet.extend_from_slice(br#",""#);
                let begun = packet.len();
                messages.write_cursor(channel, publication.position());
                let packet = messages.current();
                if packet.len() == begun {
                    packet.truncate(before);
                } else {
                    packet.push(b'"');
                }
            }
            messages.current().push(b']');
            messages.end_message();
        }
    }

    fn reply(&self, id: u32, reply: Result<&Reply, &Error>, messages: &mut Messages<'_>) {
        self.write_reply(Answer::from_id(id), reply, messages);
    }

    fn notice(&self, notice: &Notice, messages: &mut Messages<'_>) {
        // The alphabet of channel names has nothing that JSON escapes.
        let packet = match notice {
            Notice::Dropped { channel, count } => {
                format!(r#"42["dropped",{{"channel":"{channel}","count":{count}}}]"#)
            }
            Notice::Unsubscribed { channel } => {
                format!(r#"42["unsubscribed",{{"channel":"{channel}"}}]"#)
            }
            Notice::Joined { channel, member } => announcement("user:online", channel, member),
            Notice::Left { channel, member } => announcement("user:offline", channel, member),
            _ => return,
        };
        messages.current().extend_from_slice(packet.as_bytes());
        messages.end_message();
    }

    fn has_cursor(&self) -> bool {
        self.recovers
    }

    fn ping(&self, messages: &mut Messages<'_>) {
        EnginePacket::Ping("").encode_to(messages.current());
        messages.end_message();
    }

    fn moved_on(&self, cursor: &Cursor, messages: &mut Messages<'_>) {
        let packet = format!(r#"42["cursor","{cursor}"]"#);
        messages.current().extend_from_slice(packet.as_bytes());
        messages.end_message();
    }

    fn decode(&self, message: &[u8]) -> Result<Vec<Request>, Disconnect> {
        let packet = EnginePacket::decode_bytes(message).map_err(|error| {
            debug!(%error, "no packet of Engine.IO");
            Disconnect::BAD_REQUEST
        })?;
        let packet = match packet {
            EnginePacket::Message(data) => Packet::decode(data).map_err(|error| {
                debug!(%error, "no packet of Socket.IO");
                Disconnect::BAD_REQUEST
            })?,
            EnginePacket::Pong(_) => return Ok(vec![command::pong()]),
            EnginePacket::Close => return Err(Disconnect::CONNECTION_CLOSED),
            // Clients ping only what they probe, and upgrade only where the transport sees to it.
            _ => return Err(Disconnect::BAD_REQUEST),
        };
        match packet {
            Packet::Connect { namespace, data } if namespace == MAIN => {
                Ok(vec![command::connect(data, self.recovers)])
            }
            Packet::Disconnect { namespace } if namespace == MAIN => {
                Err(Disconnect::CONNECTION_CLOSED)
            }
            Packet::Event {
                namespace,
                ack,
                name,
                arguments,
            } if namespace == MAIN => Ok(vec![command::event(ack, &name, &arguments)]),
            // We ask for no acks; the reference server ignores one that it did not ask for, too.
            Packet::Ack { namespace, .. } if namespace == MAIN => Ok(Vec::new()),
            _ => Err(Disconnect::BAD_REQUEST),
        }
    }
}

/// Where an answer goes, which is all that the number of a request has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// To a connect packet, with the number of the client's `pid`; none where it brought none.
    Connect(Option<u32>),
    /// To an event of this server.
    Event(Option<u32>),
    /// To `join_channel`.
    Join(Option<u32>),
    /// To an event that is none of this server's, or makes no sense.
    Unknown(Option<u32>),
}

const EVENT: u32 = 0;
const JOIN: u32 = 1;
const UNKNOWN: u32 = 2;
const CONNECT: u32 = 3;
/// The bits of the above.
const KIND_BITS: u32 = 2;

impl Answer {
    fn id(self) -> u32 {
        let (kind, number) = match self {
            Self::Event(ack) => (EVENT, ack),
            Self::Join(ack) => (JOIN, ack),
            Self::Unknown(ack) => (UNKNOWN, ack),
            Self::Connect(pid) => (CONNECT, pid),
        };
        // Numbers count from 0; 0 stands for none.
        let number = number.map_or(0, |number| number.min(MAX_ACK) + 1);
        (number << KIND_BITS) | kind
    }

    fn from_id(id: u32) -> Self {
        let number = (id >> KIND_BITS).checked_sub(1);
        match id & CONNECT {
            JOIN => Self::Join(number),
            UNKNOWN => Self::Unknown(number),
            CONNECT => Self::Connect(number),
            _ => Self::Event(number),
        }
    }
}

/// That a client has come or gone. Neither ids nor channels have anything that JSON escapes.
fn announcement(name: &str, channel: &Channel, member: &Member) -> String {
    let Member { client, user } = member;
    format!(r#"42["{name}",{{"channel":"{channel}","client":"{client}","user":"{user}"}}]"#)
}

/// A refusal that names what makes no sense.
fn invalid(sentence: impl Into<String>) -> Error {
    Error::new(ErrorKind::BadRequest, sentence)
}

#[cfg(test)]
mod tests;
