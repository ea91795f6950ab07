//! Client events as commands.

use fanfare::codec::{Command, Connect, Request, Since, Subscribe};
use fanfare::{Error, ErrorKind};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Answer, invalid};

/// The connect packet's data.
#[derive(Default, Deserialize)]
struct Auth {
    #[serde(default)]
    token: Option<Box<RawValue>>,
    #[serde(default)]
    pid: Option<Box<RawValue>>,
    #[serde(default)]
    offset: Option<Box<RawValue>>,
}

/// `{channel}`, or the name alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Channel {
    Name(String),
    Object {
        channel: String,
        #[serde(default)]
        follow: bool,
    },
}

#[derive(Deserialize)]
struct HistoryFields {
    channel: String,
    limit: Option<usize>,
    since: Option<SinceFields>,
    #[serde(default)]
    reverse: bool,
}

#[derive(Deserialize)]
struct SinceFields {
    epoch: String,
    offset: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Object { token: String },
}

/// The command of a connect packet.
pub(super) fn connect(data: Option<&RawValue>, recovers: bool) -> Request {
    let auth = data
        .and_then(|data| serde_json::from_str::<Auth>(data.get()).ok())
        .unwrap_or_default();
    let text = |value: Option<Box<RawValue>>| {
        value.and_then(|value| serde_json::from_str::<String>(value.get()).ok())
    };
    let token = auth.token.and_then(|token| {
        // What is no string is no token of ours; refusing it is up to whoever knows tokens.
        let text = serde_json::from_str::<String>(token.get());
        let token = text.unwrap_or_else(|_| token.get().to_owned());
        let token = bare(&token);
        (!token.is_empty()).then(|| token.to_owned())
    });
    let pid = text(auth.pid).filter(|_| recovers);
    let resume = text(auth.offset).and_then(|offset| offset.parse().ok());
    let command = Command::Connect(Connect {
        token,
        resume: resume.filter(|_| pid.is_some()),
        ..Connect::default()
    });
    let pid = pid
        .as_deref()
        .and_then(|pid| pid.strip_prefix('p')?.parse().ok());
    let id = Answer::Connect(pid).id();
    Request { id, command }
}

pub(super) fn pong() -> Request {
    Request {
        id: 0,
        command: Command::Pong,
    }
}

/// The command of an event.
pub(super) fn event(ack: Option<u32>, name: &str, arguments: &[&RawValue]) -> Request {
    let command = match name {
        "join_channel" => one_channel(name, arguments).map(|(channel, follow)| {
            Command::Subscribe(Subscribe {
                channel,
                recover: None,
                follow,
            })
        }),
        "leave_channel" => channel(name, arguments).map(|channel| Command::Unsubscribe { channel }),
        "presence" => channel(name, arguments).map(|channel| Command::Presence { channel }),
        "history" => history(arguments),
        "publish" => only(name, arguments).map(|argument| Command::Publish {
            channel: String::new(),
            data: argument.to_owned(),
        }),
        "refresh" => refresh(arguments),
        "ping" => Ok(Command::Ping),
        unknown => Err(Error::new(
            ErrorKind::MethodNotFound,
            format!("no event of clients is called {unknown:?}"),
        )),
    };
    match command {
        Ok(command) => {
            let answer = match command {
                Command::Subscribe(_) => Answer::Join(ack),
                _ => Answer::Event(ack),
            };
            Request {
                id: answer.id(),
                command,
            }
        }
        Err(error) => Request {
            id: Answer::Unknown(ack).id(),
            command: Command::Invalid(error),
        },
    }
}

/// The one argument that most events have.
fn only<'a>(name: &str, arguments: &[&'a RawValue]) -> Result<&'a RawValue, Error> {
    match arguments {
        [only] => Ok(only),
        _ => Err(invalid(format!(
            "{name} takes one argument, not {}",
            arguments.len()
        ))),
    }
}

fn channel(name: &str, arguments: &[&RawValue]) -> Result<String, Error> {
    one_channel(name, arguments).map(|(channel, _)| channel)
}

/// A channel, and whether the client wants to be told who joins and leaves.
fn one_channel(name: &str, arguments: &[&RawValue]) -> Result<(String, bool), Error> {
    let argument = only(name, arguments)?;
    match serde_json::from_str(argument.get()) {
        Ok(Channel::Name(channel)) => Ok((channel, false)),
        Ok(Channel::Object { channel, follow }) => Ok((channel, follow)),
        Err(_) => Err(invalid(format!(
            "{name} takes a channel's name, or an object with `channel`"
        ))),
    }
}

fn history(arguments: &[&RawValue]) -> Result<Command, Error> {
    let argument = only("history", arguments)?;
    let fields = match serde_json::from_str::<String>(argument.get()) {
        Ok(channel) => HistoryFields {
            channel,
            limit: None,
            since: None,
            reverse: false,
        },
        Err(_) => serde_json::from_str::<HistoryFields>(argument.get()).map_err(|error| {
            invalid(format!(
                "history takes a channel's name, or an object with `channel`, `limit`, `since` and `reverse`: {error}"
            ))
        })?,
    };
    Ok(Command::History {
        channel: fields.channel,
        limit: fields.limit,
        since: fields.since.map(|since| Since {
            epoch: since.epoch,
            offset: since.offset,
        }),
        reverse: fields.reverse,
    })
}

fn refresh(arguments: &[&RawValue]) -> Result<Command, Error> {
    let argument = only("refresh", arguments)?;
    match serde_json::from_str(argument.get()) {
        Ok(Token::Text(token) | Token::Object { token }) => Ok(Command::Refresh {
            token: bare(&token).to_owned(),
        }),
        Err(_) => Err(invalid("refresh takes a token, or an object with `token`")),
    }
}

/// A token without the word before it that HTTP wants.
fn bare(token: &str) -> &str {
    let token = token.trim_start();
    let bare = match token.split_at_checked(7) {
        Some((word, rest)) if word.eq_ignore_ascii_case("bearer ") => rest,
        _ => token,
    };
    bare.trim()
}
