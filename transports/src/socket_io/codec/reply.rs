//! Replies as packets.

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use fanfare::codec::{Connected, Messages, Reply, Subscribed};
use fanfare::config::Reconnect;
use fanfare::{Cursor, Error, ErrorKind, Publication};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Answer, Arguments, SocketIo};
use crate::refusal::{Backoff, code};
use crate::socket_io::packet::{MAX_ACK, write_string};

impl SocketIo {
    pub(super) fn write_reply(
        &self,
        answer: Answer,
        reply: Result<&Reply, &Error>,
        messages: &mut Messages<'_>,
    ) {
        match (answer, reply) {
            (Answer::Connect(pid), Ok(Reply::Connected(connected))) => {
                self.write_connected(pid, connected, messages);
            }
            (Answer::Connect(_), Err(error)) => {
                let packet = messages.current();
                let fields = self.fields(error);
                write_connect_error(packet, fields.code, fields.message, fields.details);
                messages.end_message();
            }
            (_, Ok(Reply::Pong)) => {
                messages.current().extend_from_slice(br#"42["pong"]"#);
                messages.end_message();
                self.write_ack(answer, &Reply::Pong, messages);
            }
            (Answer::Join(_), Err(error)) if error.kind() == ErrorKind::AlreadySubscribed => {
                self.write_ack(answer, &Reply::Unsubscribed, messages);
            }
            (_, Ok(reply)) => self.write_ack(answer, reply, messages),
            (answer, Err(error)) => self.write_refusal(answer, error, messages),
        }
    }

    fn write_refusal(&self, answer: Answer, error: &Error, messages: &mut Messages<'_>) {
        let (ack, is_told) = match answer {
            Answer::Event(ack) | Answer::Join(ack) | Answer::Connect(ack) => (ack, ack.is_none()),
            Answer::Unknown(ack) => (ack, true),
        };
        if is_told {
            let packet = messages.current();
            packet.extend_from_slice(br#"42["error","#);
            write_json(packet, &self.fields(error));
            packet.push(b']');
            messages.end_message();
        }
        if let Some(id) = ack {
            let packet = messages.current();
            if matches!(answer, Answer::Join(_)) && error.kind() == ErrorKind::PermissionDenied {
                write(
                    packet,
                    format_args!(r#"43{id}[{{"success":false,"error":"Unauthorized"}}]"#),
                );
            } else {
                let fields = self.fields(error);
                write_failure_fields(packet, id, &fields);
            }
            messages.end_message();
        }
    }

    fn fields<'a>(&self, error: &'a Error) -> ErrorFields<'a> {
        let details = if error.problems().is_empty() {
            let after = error.retry_delay();
            after.map(|after| pauses(Some(after), self.reconnect))
        } else {
            serde_json::to_value(error.problems()).ok()
        };
        ErrorFields {
            code: error_code(error.kind()),
            message: error.message(),
            details,
        }
    }

    fn write_connected(
        &self,
        pid: Option<u32>,
        connected: &Connected,
        messages: &mut Messages<'_>,
    ) {
        let subscriptions = &connected.subscriptions;
        let packet = messages.current();
        write(packet, format_args!(r#"40{{"sid":"{}""#, connected.client));
        if self.recovers {
            // The client takes its own `pid` for the word that it missed nothing, any other for the
            // word that it may have.
            let recovered = subscriptions
                .iter()
                .all(|subscribed| subscribed.was_recovering && subscribed.recovered);
            let pid = match pid {
                Some(pid) if recovered => pid,
                Some(pid) => (pid + 1) % MAX_ACK,
                None => 0,
            };
            write(packet, format_args!(r#","pid":"p{pid}""#));
        }
        packet.push(b'}');
        messages.end_message();
        if self.recovers && !subscriptions.is_empty() {
            // So that a client which is cut before its first event has a cursor.
            let positions = subscriptions.iter();
            let cursor = positions
                .map(|subscribed| (subscribed.channel.clone(), subscribed.position))
                .collect::<Cursor>();
            write(
                messages.current(),
                format_args!(r#"42["cursor","{cursor}"]"#),
            );
            messages.end_message();
        }
        for subscribed in subscriptions {
            self.write_missed(subscribed, messages);
        }
    }

    /// What a client missed comes as events, behind the reply.
    fn write_missed(&self, subscribed: &Subscribed, messages: &mut Messages<'_>) {
        use fanfare::Codec;
        self.publications(&subscribed.channel, &subscribed.publications, messages);
    }

    fn write_ack(&self, answer: Answer, reply: &Reply, messages: &mut Messages<'_>) {
        if let Answer::Event(Some(id)) | Answer::Join(Some(id)) | Answer::Unknown(Some(id)) = answer
        {
            let packet = messages.current();
            write(packet, format_args!(r#"43{id}[{{"success":true"#));
            match reply {
                Reply::Subscribed(subscribed) if subscribed.was_recovering => {
                    write(
                        packet,
                        format_args!(r#","recovered":{}"#, subscribed.recovered),
                    );
                }
                Reply::History { publications, top } => {
                    packet.extend_from_slice(br#","events":["#);
                    for (at, publication) in publications.iter().enumerate() {
                        if at > 0 {
                            packet.push(b',');
                        }
                        self.write_remembered(packet, publication);
                    }
                    write(
                        packet,
                        format_args!(r#"],"epoch":"{}","offset":{}"#, top.epoch, top.offset),
                    );
                }
                Reply::Presence { members } => {
                    packet.extend_from_slice(br#","clients":"#);
                    write_json(packet, members);
                    let users = members.iter().map(|member| &member.user);
                    let users = users.collect::<HashSet<_>>().len();
                    write(packet, format_args!(r#","users":{users}"#));
                }
                Reply::Refreshed { ttl: Some(seconds) } => {
                    write(packet, format_args!(r#","expires":{seconds}"#));
                }
                Reply::Refreshed { ttl: None } => packet.extend_from_slice(br#","expires":null"#),
                _ => {}
            }
            packet.extend_from_slice(b"}]");
            messages.end_message();
        }
        if let Reply::Subscribed(subscribed) = reply {
            self.write_missed(subscribed, messages);
        }
    }

    fn write_remembered(&self, packet: &mut Vec<u8>, publication: &Arc<Publication>) {
        let event = publication.event();
        let offset = publication.position().map_or(0, |position| position.offset);
        write(packet, format_args!(r#"{{"offset":{offset}"#));
        if self.arguments == Arguments::Data {
            packet.extend_from_slice(br#","event":"#);
            write_string(packet, event.name());
        }
        packet.extend_from_slice(br#","data":"#);
        packet.extend_from_slice(self.argument(event.payload()));
        packet.push(b'}');
    }
}

/// The name of an error, as in HTTP answers. What a connection has too much of is no reason to stay
/// away, so it is not named like a refused connection.
fn error_code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::LimitExceeded => "INVALID_REQUEST",
        kind => code(kind),
    }
}

/// The packet that refuses a connection.
pub(in crate::socket_io) fn write_connect_error(
    packet: &mut Vec<u8>,
    code: &str,
    message: &str,
    details: Option<Value>,
) {
    #[derive(Serialize)]
    struct Fields<'a> {
        message: &'a str,
        data: ErrorFields<'a>,
    }
    packet.extend_from_slice(b"44");
    let data = ErrorFields {
        code,
        message,
        details,
    };
    write_json(
        packet,
        &Fields {
            message: code,
            data,
        },
    );
}

/// The packets that tell why an event ends its connection: a failing ack where one is awaited, else
/// the event `error`.
pub(in crate::socket_io) fn write_failure(
    packet: &mut Vec<u8>,
    ack: Option<u32>,
    code: &str,
    message: &str,
) {
    let fields = ErrorFields {
        code,
        message,
        details: None,
    };
    match ack {
        Some(id) => write_failure_fields(packet, id, &fields),
        None => {
            packet.extend_from_slice(br#"42["error","#);
            write_json(packet, &fields);
            packet.push(b']');
        }
    }
}

fn write_failure_fields(packet: &mut Vec<u8>, id: u32, fields: &ErrorFields<'_>) {
    #[derive(Serialize)]
    struct Failure<'a> {
        success: bool,
        error: &'a str,
        code: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        details: &'a Option<Value>,
    }
    write(packet, format_args!("43{id}["));
    write_json(
        packet,
        &Failure {
            success: false,
            error: fields.message,
            code: fields.code,
            details: &fields.details,
        },
    );
    packet.push(b']');
}

#[derive(Serialize)]
struct ErrorFields<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

/// What may pass: after how many seconds this does, and how to come back.
pub(in crate::socket_io) fn pauses(after: Option<Duration>, reconnect: Option<Reconnect>) -> Value {
    let mut details = Map::new();
    if let Some(after) = after {
        details.insert("retry_after".to_owned(), after.as_secs_f64().into());
    }
    if let Some(backoff) = reconnect.map(Backoff::from) {
        details.insert("backoff".to_owned(), json!(backoff));
    }
    details.into()
}

fn write(packet: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    packet
        .write_fmt(text)
        .expect("writing to a Vec does not fail");
}

fn write_json(packet: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(packet, value)
        .expect("strings and numbers serialize, and a Vec takes them");
}
