//! The dialect's messages as the server writes them.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

/// One line of a message of the server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    #[serde(default)]
    pub(super) id: u32,
    pub(super) error: Option<ErrorReply>,
    pub(super) push: Option<PushLine>,
    connect: Option<Box<RawValue>>,
    subscribe: Option<Box<RawValue>>,
    unsubscribe: Option<Box<RawValue>>,
    publish: Option<Box<RawValue>>,
    history: Option<Box<RawValue>>,
    refresh: Option<Box<RawValue>>,
    presence: Option<Box<RawValue>>,
    presence_stats: Option<Box<RawValue>>,
    ping: Option<Box<RawValue>>,
}

impl Line {
    /// What a reply brings, whatever it answers.
    pub(super) fn result(self) -> Option<Box<RawValue>> {
        let results = [
            self.connect,
            self.subscribe,
            self.unsubscribe,
            self.publish,
            self.history,
            self.refresh,
            self.presence,
            self.presence_stats,
            self.ping,
        ];
        results.into_iter().flatten().next()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorReply {
    pub(super) code: u32,
    pub(super) message: String,
    #[serde(default, rename = "temporary")]
    _temporary: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct PushLine {
    #[serde(default)]
    pub(super) channel: String,
    #[serde(rename = "pub")]
    pub(super) publication: Option<Publication>,
}

/// An event as subscribers get it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// The envelope, byte for byte.
    pub data: Box<RawValue>,
    /// Its offset in the channel; none where it is ephemeral.
    pub offset: Option<u64>,
    /// The client that published it, if one did.
    pub info: Option<Info>,
}

/// A client as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// The user's id.
    pub user: String,
    /// The connection's id.
    pub client: String,
}

impl Publication {
    /// The envelope as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.data.get()).expect("an envelope is JSON")
    }
}

/// The reply to connect.
#[derive(Clone, Debug, Deserialize)]
pub struct Connected {
    /// The connection's id.
    pub client: String,
    /// Whether the token ends.
    #[serde(default)]
    pub expires: bool,
    /// Seconds until it does.
    pub ttl: Option<u32>,
    /// Seconds between two pings.
    pub ping: u32,
    /// Whether pings want an answer.
    pub pong: bool,
    /// The server-side subscriptions, by channel.
    #[serde(default)]
    pub subs: HashMap<String, Subscribed>,
}

/// The reply to subscribe.
#[derive(Clone, Debug, Deserialize)]
pub struct Subscribed {
    /// The incarnation of the channel's offsets.
    pub epoch: String,
    /// The newest offset where nothing was recovered, else the one before what was.
    pub offset: u64,
    /// Whether positions of the channel can be recovered from.
    #[serde(default)]
    pub recoverable: bool,
    /// Whether the channel has positions.
    #[serde(default)]
    pub positioned: bool,
    /// Whether a recovery was asked for.
    #[serde(default)]
    pub was_recovering: bool,
    /// Whether `publications` are all that was missed.
    #[serde(default)]
    pub recovered: bool,
    /// What was missed.
    #[serde(default)]
    pub publications: Vec<Publication>,
}

impl Subscribed {
    /// Where the client stands after the reply.
    #[must_use]
    pub fn position(&self) -> Position {
        let newest = self
            .publications
            .iter()
            .filter_map(|publication| publication.offset)
            .next_back();
        Position {
            epoch: self.epoch.clone(),
            offset: newest.unwrap_or(self.offset),
        }
    }

    /// The offsets of what was missed.
    #[must_use]
    pub fn offsets(&self) -> Vec<u64> {
        self.publications
            .iter()
            .map(|publication| publication.offset.expect("recovered events have offsets"))
            .collect()
    }
}

/// The reply to history.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The incarnation of the channel's offsets.
    pub epoch: String,
    /// The newest offset.
    pub offset: u64,
    /// What was asked for.
    pub publications: Vec<Publication>,
}

impl History {
    /// The offsets of what was asked for.
    #[must_use]
    pub fn offsets(&self) -> Vec<u64> {
        self.publications
            .iter()
            .map(|publication| publication.offset.expect("kept events have offsets"))
            .collect()
    }
}

/// Where a client stands in a channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The incarnation of the channel's offsets.
    pub epoch: String,
    /// The offset of the last event that it has.
    pub offset: u64,
}

/// What a client was told instead of what it wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The error's code, or that of the close frame; 0 where the connection ended without one.
    pub code: u32,
    /// The words that came with it.
    pub reason: String,
    /// Whether the refusal was the connection's end.
    pub closed: bool,
}

pub(super) fn read<T: DeserializeOwned>(reply: &RawValue) -> T {
    serde_json::from_str(reply.get()).unwrap_or_else(|error| panic!("{error}: {reply}"))
}
