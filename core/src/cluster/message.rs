//! What nodes say to each other, as JSON.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::questions::{Answer, Question};
use crate::channel::Channel;

/// Entries of one message: some 100 KiB at most.
pub(super) const CHUNK: usize = 300;

#[derive(Debug, Serialize, Deserialize)]
struct Envelope<N, M> {
    node: N,
    says: M,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// The node is there, and has told of changes up to a number.
    Alive {
        number: u64,
    },
    Changes(Changes),
    Whole(Whole),
    /// Somebody wants the whole of a node.
    Again {
        of: String,
    },
    /// The node goes down.
    Bye,
    Ask {
        id: Uuid,
        question: Question,
    },
    Answer {
        id: Uuid,
        to: String,
        answer: Answer,
        last: bool,
    },
}

/// The `number`th changes of a node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Changes {
    pub(super) number: u64,
    pub(super) changes: Vec<Change>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    Joined {
        channel: Channel,
        client: Uuid,
        user: String,
    },
    Left {
        channel: Channel,
        client: Uuid,
    },
    Connected {
        user: String,
        client: Uuid,
        /// Milliseconds of Unix time.
        at: u64,
    },
    Disconnected {
        user: String,
        client: Uuid,
    },
}

/// A part of all that a node has, after its `number`th changes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Whole {
    pub(super) number: u64,
    pub(super) part: usize,
    pub(super) last: bool,
    /// Channel, client, user.
    pub(super) members: Vec<(Channel, Uuid, String)>,
    /// User, client, since when in milliseconds of Unix time.
    pub(super) connections: Vec<(String, Uuid, u64)>,
}

/// Makes parts of what a node has; at least one.
pub(super) fn parts(
    number: u64,
    members: Vec<(Channel, Uuid, Arc<str>)>,
    connections: Vec<(Arc<str>, Uuid, u64)>,
) -> Vec<Whole> {
    let mut members = members.into_iter().peekable();
    let mut connections = connections.into_iter().peekable();
    let mut parts = Vec::new();
    loop {
        let some = members.by_ref().take(CHUNK);
        let some = some.map(|(channel, client, user)| (channel, client, user.to_string()));
        let members_of_part = some.collect();
        let some = connections.by_ref().take(CHUNK);
        let connections_of_part = some.map(|(user, client, at)| (user.to_string(), client, at));
        let mut part = Whole {
            number,
            part: parts.len(),
            last: false,
            members: members_of_part,
            connections: connections_of_part.collect(),
        };
        part.last = members.peek().is_none() && connections.peek().is_none();
        let last = part.last;
        parts.push(part);
        if last {
            return parts;
        }
    }
}

pub(super) fn write(node: &str, message: &Message) -> Vec<u8> {
    let envelope = Envelope {
        node,
        says: message,
    };
    serde_json::to_vec(&envelope).expect("maps of messages have names as keys")
}

pub(super) fn read(payload: &[u8]) -> Result<(String, Message), serde_json::Error> {
    let envelope = serde_json::from_slice::<Envelope<String, Message>>(payload)?;
    Ok((envelope.node, envelope.says))
}
