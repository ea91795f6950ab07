//! The Centrifuge client protocol, version 2, as JSON.
//!
//! Schema: `definitions/client.proto` of the repository centrifugal/protocol. A message holds one
//! reply or push a line; a message of a client holds one command after the other.

mod command;

use std::io::Write;
use std::sync::Arc;

use serde::Serialize;

use self::command::CommandFields;
use super::{Codec, Connected, Messages, Notice, Reply, Request, Subscribed};
use crate::channel::Channel;
use crate::disconnect::Disconnect;
use crate::error::{Error, ErrorKind};
use crate::event::Publication;
use crate::presence::Member;

/// The dialect. Official clients exist for JavaScript, Python, Go, Dart, Swift, Java and C#.
#[derive(Clone, Copy, Debug, Default)]
pub struct Centrifuge;

impl Codec for Centrifuge {
    fn name(&self) -> &'static str {
        "centrifuge-json"
    }

    fn publications(
        &self,
        channel: &Channel,
        publications: &[Arc<Publication>],
        messages: &mut Messages<'_>,
    ) {
        for publication in publications {
            let line = begin_line(messages);
            // Channel names need no escaping: their alphabet has none of what JSON escapes.
            line.extend_from_slice(br#"{"push":{"channel":""#);
            line.extend_from_slice(channel.as_str().as_bytes());
            line.extend_from_slice(br#"","pub":"#);
            write_publication(line, publication);
            line.extend_from_slice(b"}}");
        }
    }

    fn reply(&self, id: u32, reply: Result<&Reply, &Error>, messages: &mut Messages<'_>) {
        if id == 0 {
            return;
        }
        let line = begin_line(messages);
        write(line, format_args!(r#"{{"id":{id},"#));
        match reply {
            Ok(reply) => write_reply(line, reply),
            Err(error) => {
                line.extend_from_slice(br#""error":"#);
                write_json(line, &ErrorFields::from(error));
            }
        }
        line.push(b'}');
    }

    fn notice(&self, notice: &Notice, messages: &mut Messages<'_>) {
        let line = begin_line(messages);
        match notice {
            Notice::Dropped { channel, count } => write(
                line,
                format_args!(
                    r#"{{"push":{{"message":{{"data":{{"type":"dropped","channel":"{channel}","count":{count}}}}}}}}}"#
                ),
            ),
            Notice::Joined { channel, member } => write_member(line, "join", channel, member),
            Notice::Left { channel, member } => write_member(line, "leave", channel, member),
            // Clients subscribe anew by themselves from code 2500 on.
            Notice::Unsubscribed { channel } => write(
                line,
                format_args!(
                    r#"{{"push":{{"channel":"{channel}","unsubscribe":{{"code":2000,"reason":"permission denied"}}}}}}"#
                ),
            ),
        }
    }

    fn ping(&self, messages: &mut Messages<'_>) {
        begin_line(messages).extend_from_slice(b"{}");
    }

    fn decode(&self, message: &[u8]) -> Result<Vec<Request>, Disconnect> {
        let mut requests = Vec::new();
        for fields in serde_json::Deserializer::from_slice(message).into_iter::<CommandFields>() {
            requests.push(
                fields
                    .ok()
                    .and_then(CommandFields::request)
                    .ok_or(Disconnect::BAD_REQUEST)?,
            );
        }
        if requests.is_empty() {
            return Err(Disconnect::BAD_REQUEST);
        }
        Ok(requests)
    }
}

fn begin_line<'a>(messages: &'a mut Messages<'_>) -> &'a mut Vec<u8> {
    if messages.is_full() {
        messages.end_message();
    }
    let line = messages.current();
    if !line.is_empty() {
        line.push(b'\n');
    }
    line
}

fn write_publication(line: &mut Vec<u8>, publication: &Publication) {
    let event = publication.event();
    line.extend_from_slice(br#"{"data":"#);
    line.extend_from_slice(event.payload());
    if let Some(publisher) = event.publisher() {
        line.extend_from_slice(br#","info":"#);
        write_json(
            line,
            &InfoFields {
                user: &publisher.user,
                client: &publisher.client,
            },
        );
    }
    if let Some(position) = publication.position() {
        write(line, format_args!(r#","offset":{}"#, position.offset));
    }
    line.push(b'}');
}

fn write_publications(line: &mut Vec<u8>, publications: &[Arc<Publication>]) {
    line.extend_from_slice(br#""publications":["#);
    for (at, publication) in publications.iter().enumerate() {
        if at > 0 {
            line.push(b',');
        }
        write_publication(line, publication);
    }
    line.push(b']');
}

fn write_reply(line: &mut Vec<u8>, reply: &Reply) {
    match reply {
        Reply::Connected(connected) => write_connected(line, connected),
        Reply::Subscribed(subscribed) => {
            line.extend_from_slice(br#""subscribe":"#);
            write_subscribed(line, subscribed);
        }
        Reply::Unsubscribed => line.extend_from_slice(br#""unsubscribe":{}"#),
        Reply::Published => line.extend_from_slice(br#""publish":{}"#),
        Reply::History { publications, top } => {
            line.extend_from_slice(br#""history":{"#);
            write_publications(line, publications);
            write(
                line,
                format_args!(r#","epoch":"{}","offset":{}}}"#, top.epoch, top.offset),
            );
        }
        Reply::Refreshed { ttl } => {
            line.extend_from_slice(br#""refresh":{"#);
            write_ttl(line, *ttl);
            line.push(b'}');
        }
        Reply::Presence { members } => {
            line.extend_from_slice(br#""presence":{"presence":{"#);
            for (at, member) in members.iter().enumerate() {
                if at > 0 {
                    line.push(b',');
                }
                write(line, format_args!(r#""{}":"#, member.client));
                write_json(line, member);
            }
            line.extend_from_slice(b"}}");
        }
        Reply::PresenceStats { clients, users } => write(
            line,
            format_args!(r#""presence_stats":{{"num_clients":{clients},"num_users":{users}}}"#),
        ),
        Reply::Pong => line.extend_from_slice(br#""ping":{}"#),
    }
}

fn write_connected(line: &mut Vec<u8>, connected: &Connected) {
    let Connected {
        client,
        ttl,
        subscriptions,
        ping,
        session,
        node,
    } = connected;
    write(
        line,
        format_args!(
            r#""connect":{{"client":"{client}","version":"fanfare","ping":{ping},"pong":true"#
        ),
    );
    if ttl.is_some() {
        line.push(b',');
        write_ttl(line, *ttl);
    }
    if let Some(session) = session {
        line.extend_from_slice(br#","session":"#);
        write_json(line, session);
        line.extend_from_slice(br#","node":"#);
        write_json(line, node);
    }
    if !subscriptions.is_empty() {
        line.extend_from_slice(br#","subs":{"#);
        for (at, subscribed) in subscriptions.iter().enumerate() {
            if at > 0 {
                line.push(b',');
            }
            write(line, format_args!(r#""{}":"#, subscribed.channel));
            write_subscribed(line, subscribed);
        }
        line.push(b'}');
    }
    line.push(b'}');
}

fn write_subscribed(line: &mut Vec<u8>, subscribed: &Subscribed) {
    let position = subscribed.position;
    write(
        line,
        format_args!(
            r#"{{"recoverable":true,"positioned":true,"epoch":"{}","offset":{}"#,
            position.epoch, position.offset
        ),
    );
    if subscribed.was_recovering {
        write(
            line,
            format_args!(
                r#","was_recovering":true,"recovered":{}"#,
                subscribed.recovered
            ),
        );
    }
    if !subscribed.publications.is_empty() {
        line.push(b',');
        write_publications(line, &subscribed.publications);
    }
    line.push(b'}');
}

fn write_member(line: &mut Vec<u8>, what: &str, channel: &Channel, member: &Member) {
    write(
        line,
        format_args!(r#"{{"push":{{"channel":"{channel}","{what}":{{"info":"#),
    );
    write_json(line, member);
    line.extend_from_slice(b"}}}");
}

fn write_ttl(line: &mut Vec<u8>, ttl: Option<u32>) {
    if let Some(ttl) = ttl {
        write(line, format_args!(r#""expires":true,"ttl":{ttl}"#));
    }
}

fn write(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text)
        .expect("writing to a Vec does not fail");
}

fn write_json(line: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(line, value)
        .expect("strings and numbers serialize, and a Vec takes them");
}

#[derive(Serialize)]
struct InfoFields<'a> {
    user: &'a str,
    client: &'a str,
}

#[derive(Serialize)]
struct ErrorFields<'a> {
    code: u32,
    message: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    temporary: bool,
}

impl<'a> From<&'a Error> for ErrorFields<'a> {
    fn from(error: &'a Error) -> Self {
        Self {
            code: code(error.kind()),
            message: error.message(),
            temporary: matches!(
                error.kind(),
                ErrorKind::Internal | ErrorKind::TooManyRequests | ErrorKind::Unavailable
            ),
        }
    }
}

/// The dialect's number of an error; `errors.go` of the repository centrifugal/centrifuge.
const fn code(kind: ErrorKind) -> u32 {
    match kind {
        ErrorKind::Internal | ErrorKind::Unavailable => 100,
        ErrorKind::Unauthorized => 101,
        ErrorKind::PermissionDenied => 103,
        ErrorKind::MethodNotFound => 104,
        ErrorKind::AlreadySubscribed => 105,
        ErrorKind::LimitExceeded | ErrorKind::TooLarge => 106,
        ErrorKind::BadRequest | ErrorKind::InvalidEvent => 107,
        ErrorKind::NotAvailable => 108,
        ErrorKind::TokenExpired => 109,
        ErrorKind::TooManyRequests => 111,
        ErrorKind::UnrecoverablePosition => 112,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Command, Since};

    fn decode(message: &str) -> Result<Vec<Request>, Disconnect> {
        Centrifuge.decode(message.as_bytes())
    }

    #[test]
    fn several_commands_stand_in_one_message() {
        let requests = decode(
            "{\"id\":1,\"subscribe\":{\"channel\":\"a\",\"recover\":true,\"epoch\":\"e\",\"offset\":7}}\n{}",
        )
        .unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].id, 1);
        let Command::Subscribe(subscribe) = &requests[0].command else {
            panic!("{requests:?}")
        };
        assert_eq!(subscribe.channel, "a");
        assert_eq!(
            subscribe.recover,
            Some(Since {
                epoch: "e".into(),
                offset: 7
            })
        );
        assert!(matches!(requests[1].command, Command::Pong));
    }

    #[test]
    fn what_is_no_command_is_a_bad_request() {
        for bad in [
            "",
            " ",
            "x",
            "[]",
            "1",
            "{",
            "{\"id\":1}",
            "{\"id\":-1,\"ping\":{}}",
            "{\"id\":1,\"nope\":{}}",
            "{\"id\":1,\"ping\":{},\"refresh\":{\"token\":\"t\"}}",
            "{\"id\":1,\"subscribe\":[]}",
            "{\"id\":1,\"subscribe\":{\"channel\":1}}",
            "{\"id\":1,\"publish\":{\"channel\":\"a\"}}",
            "{\"id\":1,\"subscribe\":{\"channel\":\"a\",\"offset\":-1}}",
            "{} x",
        ] {
            assert_eq!(decode(bad).unwrap_err(), Disconnect::BAD_REQUEST, "{bad}");
        }
    }

    #[test]
    fn history_without_a_limit_asks_for_the_position_alone() {
        let [request] = &decode(r#"{"id":1,"history":{"channel":"a"}}"#).unwrap()[..] else {
            panic!("one command")
        };
        assert!(matches!(
            request.command,
            Command::History {
                limit: Some(0),
                since: None,
                ..
            }
        ));
        let [request] = &decode(r#"{"id":1,"history":{"channel":"a","limit":-1}}"#).unwrap()[..]
        else {
            panic!("one command")
        };
        assert!(matches!(
            request.command,
            Command::History { limit: None, .. }
        ));
    }
}
