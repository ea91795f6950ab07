//! Commands as the schema writes them.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codec::{Command, Connect, Request, Since, Subscribe};

/// One command. A field of the wrong type, or two commands in one, is no command.
#[derive(Deserialize)]
pub(super) struct CommandFields {
    #[serde(default)]
    id: u32,
    connect: Option<ConnectFields>,
    subscribe: Option<SubscribeFields>,
    unsubscribe: Option<ChannelFields>,
    publish: Option<PublishFields>,
    presence: Option<ChannelFields>,
    presence_stats: Option<ChannelFields>,
    history: Option<HistoryFields>,
    ping: Option<Empty>,
    refresh: Option<RefreshFields>,
    send: Option<Empty>,
    rpc: Option<Empty>,
    sub_refresh: Option<Empty>,
    #[serde(flatten)]
    unknown: HashMap<String, serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Empty {}

#[derive(Deserialize)]
struct ChannelFields {
    #[serde(default)]
    channel: String,
}

#[derive(Deserialize)]
struct ConnectFields {
    #[serde(default)]
    token: String,
    #[serde(default)]
    subs: HashMap<String, SubscribeFields>,
}

#[derive(Deserialize)]
struct SubscribeFields {
    #[serde(default)]
    channel: String,
    #[serde(default)]
    recover: bool,
    #[serde(default)]
    join_leave: bool,
    #[serde(flatten)]
    since: SinceFields,
}

#[derive(Deserialize)]
struct SinceFields {
    #[serde(default)]
    epoch: String,
    #[serde(default)]
    offset: u64,
}

impl From<SinceFields> for Since {
    fn from(fields: SinceFields) -> Self {
        Self {
            epoch: fields.epoch,
            offset: fields.offset,
        }
    }
}

#[derive(Deserialize)]
struct PublishFields {
    #[serde(default)]
    channel: String,
    data: Box<RawValue>,
}

#[derive(Deserialize)]
struct HistoryFields {
    #[serde(default)]
    channel: String,
    #[serde(default)]
    limit: i64,
    since: Option<SinceFields>,
    #[serde(default)]
    reverse: bool,
}

#[derive(Deserialize)]
struct RefreshFields {
    #[serde(default)]
    token: String,
}

impl CommandFields {
    /// The request it stands for; none where it is no command, or two.
    pub(super) fn request(self) -> Option<Request> {
        let id = self.id;
        let is_pong = id == 0;
        if !self.unknown.is_empty() {
            return None;
        }
        let mut commands = [
            self.connect.map(|fields| {
                Command::Connect(Connect {
                    token: (!fields.token.is_empty()).then_some(fields.token),
                    positions: fields
                        .subs
                        .into_iter()
                        .filter(|(_, fields)| fields.recover)
                        .map(|(channel, fields)| (channel, fields.since.into()))
                        .collect(),
                    resume: None,
                })
            }),
            self.subscribe.map(|fields| {
                Command::Subscribe(Subscribe {
                    channel: fields.channel,
                    recover: fields.recover.then(|| fields.since.into()),
                    follow: fields.join_leave,
                })
            }),
            self.unsubscribe.map(|fields| Command::Unsubscribe {
                channel: fields.channel,
            }),
            self.publish.map(|fields| Command::Publish {
                channel: fields.channel,
                data: fields.data,
            }),
            self.presence.map(|fields| Command::Presence {
                channel: fields.channel,
            }),
            self.presence_stats.map(|fields| Command::PresenceStats {
                channel: fields.channel,
            }),
            self.history.map(|fields| Command::History {
                channel: fields.channel,
                limit: usize::try_from(fields.limit).ok(),
                since: fields.since.map(Since::from),
                reverse: fields.reverse,
            }),
            self.ping.map(|Empty {}| Command::Ping),
            self.refresh.map(|fields| Command::Refresh {
                token: fields.token,
            }),
            self.send
                .or(self.rpc)
                .or(self.sub_refresh)
                .map(|Empty {}| Command::Unsupported),
        ]
        .into_iter()
        .flatten();
        match (commands.next(), commands.next()) {
            (Some(command), None) => Some(Request { id, command }),
            (None, None) if is_pong => Some(Request {
                id,
                command: Command::Pong,
            }),
            _ => None,
        }
    }
}
