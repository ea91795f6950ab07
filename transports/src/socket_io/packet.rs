//! Packets of Socket.IO, version 5, without I/O.
//!
//! Source: `Readme.md` of the repository socketio/socket.io-protocol, "Packet encoding". Packets with
//! binary attachments are told apart and refused.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The namespace that is meant where none is named.
pub const MAIN: &str = "/";
/// The highest ack id that a packet can have. Clients count theirs from 0.
pub const MAX_ACK: u32 = (1 << 30) - 2;

/// Names that an event cannot have: the libraries use them for themselves.
const RESERVED: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// One packet. JSON in it is checked, and kept as it came.
#[derive(Clone, Debug)]
pub enum Packet<'a> {
    /// Enters a namespace, or says that it has been entered.
    Connect {
        /// The namespace.
        namespace: &'a str,
        /// An object: credentials, or the answer's `sid`.
        data: Option<&'a RawValue>,
    },
    /// Leaves a namespace.
    Disconnect {
        /// The namespace.
        namespace: &'a str,
    },
    /// An event.
    Event {
        /// The namespace.
        namespace: &'a str,
        /// The number under which an answer is awaited.
        ack: Option<u32>,
        /// The event's name.
        name: Cow<'a, str>,
        /// What comes with it.
        arguments: Vec<&'a RawValue>,
    },
    /// The answer to an event.
    Ack {
        /// The namespace.
        namespace: &'a str,
        /// The event's number.
        id: u32,
        /// The answer.
        arguments: Vec<&'a RawValue>,
    },
    /// The namespace could not be entered.
    ConnectError {
        /// The namespace.
        namespace: &'a str,
        /// An object with a `message`, or a string.
        data: &'a RawValue,
    },
}

/// Why a text is no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketError {
    /// There is nothing.
    Empty,
    /// It begins with a type that is none.
    Type(char),
    /// It announces binary attachments.
    Binary,
    /// Its ack id is higher than [`MAX_ACK`], or begins with a needless 0.
    AckId,
    /// It has an ack id, where its type has none.
    UnexpectedAck,
    /// It is an answer without the number of what it answers.
    MissingAck,
    /// Its data is no JSON of the kind that its type has.
    Data(&'static str),
    /// The event has no name.
    Name,
    /// The event has a name that the libraries use for themselves.
    Reserved,
}

impl fmt::Display for PacketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an empty packet"),
            Self::Type(found) => write!(f, "a packet of the unknown type {found:?}"),
            Self::Binary => f.write_str("a packet with binary attachments"),
            Self::AckId => write!(f, "an ack id that is no number from 0 to {MAX_ACK}"),
            Self::UnexpectedAck => f.write_str("an ack id where none belongs"),
            Self::MissingAck => f.write_str("an ack without an id"),
            Self::Data(expected) => write!(f, "data that is not {expected}"),
            Self::Name => f.write_str("an event without a name"),
            Self::Reserved => f.write_str("an event with a reserved name"),
        }
    }
}

impl std::error::Error for PacketError {}

impl<'a> Packet<'a> {
    /// Reads one packet, that is, the data of a message packet of Engine.IO.
    ///
    /// # Errors
    /// Why it is none.
    pub fn decode(text: &'a str) -> Result<Self, PacketError> {
        let mut characters = text.chars();
        let kind = characters.next().ok_or(PacketError::Empty)?;
        match kind {
            '0'..='4' => {}
            '5' | '6' => return Err(PacketError::Binary),
            other => return Err(PacketError::Type(other)),
        }
        let (namespace, rest) = take_namespace(characters.as_str());
        let (ack, data) = take_ack(rest)?;
        if ack.is_some() && !matches!(kind, '2' | '3') {
            return Err(PacketError::UnexpectedAck);
        }
        match kind {
            '0' if data.is_empty() => Ok(Self::Connect {
                namespace,
                data: None,
            }),
            '0' => Ok(Self::Connect {
                namespace,
                data: Some(json(data, "an object", &['{'])?),
            }),
            '1' if data.is_empty() => Ok(Self::Disconnect { namespace }),
            '1' => Err(PacketError::Data("empty")),
            '2' => {
                let mut arguments = array(data)?;
                if arguments.is_empty() {
                    return Err(PacketError::Name);
                }
                let Name(name) = serde_json::from_str(arguments.remove(0).get())
                    .map_err(|_| PacketError::Name)?;
                if RESERVED.contains(&&*name) {
                    return Err(PacketError::Reserved);
                }
                Ok(Self::Event {
                    namespace,
                    ack,
                    name,
                    arguments,
                })
            }
            '3' => Ok(Self::Ack {
                namespace,
                id: ack.ok_or(PacketError::MissingAck)?,
                arguments: array(data)?,
            }),
            _ => Ok(Self::ConnectError {
                namespace,
                data: json(data, "an object or a string", &['{', '"'])?,
            }),
        }
    }

    /// Appends the packet as it lies in a message packet of Engine.IO.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Connect { namespace, data } => {
                write_head(out, b'0', namespace, None);
                if let Some(data) = data {
                    out.extend_from_slice(data.get().as_bytes());
                }
            }
            Self::Disconnect { namespace } => write_head(out, b'1', namespace, None),
            Self::Event {
                namespace,
                ack,
                name,
                arguments,
            } => {
                write_head(out, b'2', namespace, *ack);
                out.push(b'[');
                write_string(out, name);
                for argument in arguments {
                    out.push(b',');
                    out.extend_from_slice(argument.get().as_bytes());
                }
                out.push(b']');
            }
            Self::Ack {
                namespace,
                id,
                arguments,
            } => {
                write_head(out, b'3', namespace, Some(*id));
                out.push(b'[');
                for (at, argument) in arguments.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(argument.get().as_bytes());
                }
                out.push(b']');
            }
            Self::ConnectError { namespace, data } => {
                write_head(out, b'4', namespace, None);
                out.extend_from_slice(data.get().as_bytes());
            }
        }
    }
}

/// Appends a JSON string.
pub(super) fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string serializes, and a Vec takes it");
}

fn write_head(out: &mut Vec<u8>, kind: u8, namespace: &str, ack: Option<u32>) {
    out.push(kind);
    if namespace != MAIN {
        out.extend_from_slice(namespace.as_bytes());
        out.push(b',');
    }
    if let Some(ack) = ack {
        write!(out, "{ack}").expect("writing to a Vec does not fail");
    }
}

fn take_namespace(text: &str) -> (&str, &str) {
    if text.starts_with('/') {
        text.split_once(',').unwrap_or((text, ""))
    } else {
        (MAIN, text)
    }
}

fn take_ack(text: &str) -> Result<(Option<u32>, &str), PacketError> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, data) = text.split_at(end);
    if digits.is_empty() {
        return Ok((None, data));
    }
    let canonical = digits == "0" || !digits.starts_with('0');
    let id = digits.parse().ok().filter(|id| *id <= MAX_ACK);
    match id {
        Some(id) if canonical => Ok((Some(id), data)),
        _ => Err(PacketError::AckId),
    }
}

fn array(data: &str) -> Result<Vec<&RawValue>, PacketError> {
    serde_json::from_str(data).map_err(|_| PacketError::Data("an array"))
}

fn json<'a>(
    data: &'a str,
    expected: &'static str,
    first: &[char],
) -> Result<&'a RawValue, PacketError> {
    if !data.starts_with(first) {
        return Err(PacketError::Data(expected));
    }
    serde_json::from_str(data).map_err(|_| PacketError::Data(expected))
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests;
