//! A dialect of plain lines whose events carry a cursor, and its clients.

#![allow(dead_code, reason = "each suite uses its part")]

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use fanfare::codec::{Command, Connect, Messages, Notice, Reply, Request, Subscribe, Subscribed};
use fanfare::{
    Batch, Channel, Codec, Cursor, Disconnect, Error, Framing, Handshake, Identity, Node, Opening,
    Outbound, Polled, Publication, Refusal, Session,
};
use tokio::time::timeout;

/// The dialect. Fields of a line stand between tabs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    pub(crate) pongs: bool,
}

impl Codec for Lines {
    fn name(&self) -> &'static str {
        if self.pongs { "lines-pong" } else { "lines" }
    }

    fn publications(
        &self,
        channel: &Channel,
        publications: &[Arc<Publication>],
        messages: &mut Messages<'_>,
    ) {
        for publication in publications {
            let offset = publication
                .position()
                .map_or("-".to_owned(), |position| position.offset.to_string());
            messages.current().extend_from_slice(b"e\t");
            messages.write_cursor(channel, publication.position());
            let line = messages.current();
            line.extend_from_slice(format!("\t{channel}\t{offset}\t").as_bytes());
            line.extend_from_slice(publication.event().payload());
            line.push(b'\n');
        }
    }

    fn reply(&self, _id: u32, reply: Result<&Reply, &Error>, messages: &mut Messages<'_>) {
        let mut text = String::new();
        match reply {
            Ok(Reply::Connected(connected)) => {
                let positions = connected.subscriptions.iter();
                let cursor = Cursor::from_iter(positions.map(|s| (s.channel.clone(), s.position)));
                writeln!(text, "i\t{cursor}").unwrap();
                connected
                    .subscriptions
                    .iter()
                    .for_each(|s| write_subscribed(&mut text, s));
            }
            Ok(Reply::Subscribed(subscribed)) => write_subscribed(&mut text, subscribed),
            Ok(_) => text.push_str("o\n"),
            Err(error) => writeln!(text, "x\t{:?}", error.kind()).unwrap(),
        }
        messages.current().extend_from_slice(text.as_bytes());
    }

    fn notice(&self, notice: &Notice, messages: &mut Messages<'_>) {
        let line = match notice {
            Notice::Dropped { channel, count } => format!("d\t{channel}\t{count}\n"),
            other => format!("n\t{}\n", other.channel()),
        };
        messages.current().extend_from_slice(line.as_bytes());
    }

    fn has_cursor(&self) -> bool {
        true
    }

    fn expects_pong(&self) -> bool {
        self.pongs
    }

    fn ping(&self, messages: &mut Messages<'_>) {
        messages.current().extend_from_slice(b"p\n");
    }

    fn decode(&self, message: &[u8]) -> Result<Vec<Request>, Disconnect> {
        let text = std::str::from_utf8(message).map_err(|_| Disconnect::BAD_REQUEST)?;
        let command = match text.split_once(' ') {
            Some(("subscribe", channel)) => Command::Subscribe(Subscribe {
                channel: channel.to_owned(),
                recover: None,
                follow: false,
            }),
            Some(("unsubscribe", channel)) => Command::Unsubscribe {
                channel: channel.to_owned(),
            },
            None if text == "pong" => Command::Pong,
            _ => return Err(Disconnect::BAD_REQUEST),
        };
        Ok(vec![Request { id: 1, command }])
    }
}

/// For polls: pings would be taken for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolledLines;

impl Codec for PolledLines {
    fn name(&self) -> &'static str {
        "polled-lines"
    }

    fn publications(
        &self,
        channel: &Channel,
        publications: &[Arc<Publication>],
        messages: &mut Messages<'_>,
    ) {
        Lines { pongs: false }.publications(channel, publications, messages);
    }

    fn reply(&self, _id: u32, _reply: Result<&Reply, &Error>, _messages: &mut Messages<'_>) {}

    fn notice(&self, _notice: &Notice, _messages: &mut Messages<'_>) {}

    fn has_cursor(&self) -> bool {
        true
    }

    fn expects_pong(&self) -> bool {
        false
    }

    fn ping(&self, _messages: &mut Messages<'_>) {}

    fn decode(&self, _message: &[u8]) -> Result<Vec<Request>, Disconnect> {
        Err(Disconnect::BAD_REQUEST)
    }
}

fn write_subscribed(text: &mut String, subscribed: &Subscribed) {
    assert!(
        subscribed.publications.is_empty(),
        "a dialect with a cursor gets what was missed as events"
    );
    let Subscribed {
        channel,
        position,
        was_recovering,
        recovered,
        ..
    } = subscribed;
    writeln!(
        text,
        "s\t{channel}\t{}\t{was_recovering}\t{recovered}",
        position.offset
    )
    .unwrap();
}

/// Messages as they are.
#[derive(Debug)]
pub(crate) struct Plain;

impl Framing for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(message);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Event {
        cursor: String,
        channel: String,
        offset: Option<u64>,
        number: u64,
    },
    Start {
        cursor: String,
    },
    Subscribed {
        channel: String,
        offset: u64,
        was_recovering: bool,
        recovered: bool,
    },
    Dropped {
        channel: String,
        count: u64,
    },
    Ping,
    Refused(String),
    Other,
}

impl Line {
    fn read(line: &str) -> Self {
        let fields = line.split('\t').collect::<Vec<_>>();
        match fields[..] {
            ["e", cursor, channel, offset, payload] => Self::Event {
                cursor: cursor.to_owned(),
                channel: channel.to_owned(),
                offset: offset.parse().ok(),
                number: payload.trim_matches('"').trim().parse().unwrap(),
            },
            ["i", cursor] => Self::Start {
                cursor: cursor.to_owned(),
            },
            ["s", channel, offset, was_recovering, recovered] => Self::Subscribed {
                channel: channel.to_owned(),
                offset: offset.parse().unwrap(),
                was_recovering: was_recovering.parse().unwrap(),
                recovered: recovered.parse().unwrap(),
            },
            ["d", channel, count] => Self::Dropped {
                channel: channel.to_owned(),
                count: count.parse().unwrap(),
            },
            ["p"] => Self::Ping,
            ["x", kind] => Self::Refused(kind.to_owned()),
            ["o"] | ["n", _] => Self::Other,
            _ => panic!("{line:?}"),
        }
    }

    /// The cursor that it carries.
    pub(crate) fn cursor(&self) -> Option<&str> {
        match self {
            Self::Event { cursor, .. } | Self::Start { cursor } if !cursor.is_empty() => {
                Some(cursor)
            }
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Event { number, .. } => Some(*number),
            _ => None,
        }
    }
}

/// Whole lines; what follows the last line end was cut off.
pub(crate) fn read_lines(bytes: &[u8]) -> Vec<Line> {
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        return Vec::new();
    };
    let text = std::str::from_utf8(&bytes[..end]).unwrap();
    text.split('\n').map(Line::read).collect()
}

pub(crate) fn numbers(lines: &[Line]) -> Vec<u64> {
    lines.iter().filter_map(Line::number).collect()
}

pub(crate) fn last_cursor(lines: &[Line]) -> Option<String> {
    lines.iter().rev().find_map(Line::cursor).map(str::to_owned)
}

pub(crate) fn resuming(cursor: &str) -> Connect {
    Connect {
        resume: Some(cursor.parse().unwrap()),
        ..Connect::default()
    }
}

pub(crate) fn opening(user: &str, channels: &[&str], codec: impl Codec) -> Opening {
    Opening {
        transport: "test",
        codec: Arc::new(codec),
        framing: Arc::new(Plain),
        handshake: Handshake::default(),
        identity: Some(Identity::new(user).unwrap()),
        channels: channels.iter().map(|c| Channel::new(c).unwrap()).collect(),
        own_channel: false,
        session: None,
    }
}

/// Asks once.
pub(crate) async fn poll(
    node: &Node,
    user: &str,
    channels: &[&str],
    connect: Connect,
    wait: Duration,
) -> Result<(Vec<Line>, Polled), Refusal> {
    let session = node.open(opening(user, channels, PolledLines)).unwrap();
    let polled = session.poll(connect, wait).await?;
    let lines = read_lines(&polled.events);
    Ok((lines, polled))
}

/// One connection. What it has not read waits.
pub(crate) struct LineClient {
    pub(crate) session: Session,
    pub(crate) outbound: Outbound,
    batch: Batch,
    unread: BytesMut,
}

impl LineClient {
    pub(crate) async fn connect(
        node: &Node,
        opening: Opening,
        connect: Connect,
    ) -> Result<Self, Refusal> {
        let mut session = node.open(opening).unwrap();
        let outbound = session.outbound();
        session.connect(connect).await?;
        Ok(Self {
            session,
            outbound,
            batch: Batch::default(),
            unread: BytesMut::new(),
        })
    }

    pub(crate) async fn joined(node: &Node, user: &str, channels: &[&str]) -> Self {
        let opening = opening(user, channels, Lines { pongs: false });
        Self::connect(node, opening, Connect::default())
            .await
            .unwrap()
    }

    pub(crate) async fn resumed(node: &Node, user: &str, channels: &[&str], cursor: &str) -> Self {
        let opening = opening(user, channels, Lines { pongs: false });
        Self::connect(node, opening, resuming(cursor))
            .await
            .unwrap()
    }

    pub(crate) async fn send(&mut self, command: &str) {
        self.session.receive(command.as_bytes()).await.unwrap();
    }

    /// The next line, pings included, or how the connection ended.
    pub(crate) async fn line(&mut self) -> Result<Line, Disconnect> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.split_to(end + 1);
                return Ok(Line::read(std::str::from_utf8(&line[..end]).unwrap()));
            }
            self.outbound.next_batch(&mut self.batch).await?;
            while self.batch.has_remaining() {
                let count = self.batch.chunk().len();
                self.unread.extend_from_slice(self.batch.chunk());
                self.batch.advance(count);
            }
        }
    }

    /// What comes until nothing has come for a while, and how the connection ended if it did.
    pub(crate) async fn lines(&mut self, silence: Duration) -> (Vec<Line>, Option<Disconnect>) {
        let mut lines = Vec::new();
        loop {
            match timeout(silence, self.line()).await {
                Err(_) => return (lines, None),
                Ok(Err(disconnect)) => return (lines, Some(disconnect)),
                Ok(Ok(line)) => lines.push(line),
            }
        }
    }
}
