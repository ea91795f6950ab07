//! One client connection: from the handshake to the last event.

use std::io::Write;

use mio::net::TcpStream;
use serde::Deserialize;

use crate::frame::{self, FrameReader, Piece};
use crate::lines::{Line, LineBuffer, Shape};
use crate::marker::{self, Marker, Tag};
use crate::sequence::{Arrival, Sequence};
use crate::tally::Tally;

/// Key and answer are those of RFC 6455's example, so nothing has to be hashed.
const HANDSHAKE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const HANDSHAKE_ANSWER: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Connecting,
    Upgrading,
    Authenticating,
    Subscribing,
    Ready,
    Closed,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Upgrading => "upgrading",
            Self::Authenticating => "authenticating",
            Self::Subscribing => "subscribing",
            Self::Ready => "ready",
            Self::Closed => "closed",
        })
    }
}

/// Why a connection ended.
pub(crate) type End = String;

/// What to say to the server.
#[derive(Debug)]
pub(crate) struct Introduction {
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) channel: String,
    pub(crate) token: Option<String>,
}

impl Introduction {
    fn upgrade(&self) -> Vec<u8> {
        self.upgrade_on(&self.path)
    }

    pub(crate) fn upgrade_on(&self, path: &str) -> Vec<u8> {
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {HANDSHAKE_KEY}\r\n\r\n",
            self.host
        )
        .into_bytes()
    }

    pub(crate) fn connect(&self) -> Vec<u8> {
        let connect = match &self.token {
            Some(token) => serde_json::json!({ "token": token }),
            None => serde_json::json!({}),
        };
        frame::text(
            serde_json::json!({ "id": 1, "connect": connect })
                .to_string()
                .as_bytes(),
        )
    }

    fn subscribe(&self) -> Vec<u8> {
        let command = serde_json::json!({ "id": 2, "subscribe": { "channel": self.channel } });
        frame::text(command.to_string().as_bytes())
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    dialogue: Dialogue,
    frames: FrameReader,
    lines: LineBuffer,
    shape: Shape,
    events: Events,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        introduction: Introduction,
        tag: Tag,
        sampled: bool,
    ) -> Self {
        Self {
            dialogue: Dialogue {
                stream,
                stage: Stage::Connecting,
                introduction: Some(Box::new(introduction)),
            },
            frames: FrameReader::default(),
            lines: LineBuffer::default(),
            shape: Shape::default(),
            events: Events {
                sequence: Sequence::default(),
                tag,
                sampled,
            },
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.dialogue.stage
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.dialogue.stream
    }

    /// Sequence number of the last event.
    pub(crate) fn last(&self) -> u32 {
        self.events.sequence.last()
    }

    /// The socket became writable for the first time.
    pub(crate) fn connected(&mut self) -> Result<(), End> {
        match self.dialogue.stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Err(error.to_string()),
        }
        self.dialogue
            .introduce(Stage::Upgrading, Introduction::upgrade)
    }

    /// Takes what was read at time `now`, and says how much of it; the rest has to come again with more behind it.
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
        now: u64,
        tally: &mut Tally,
    ) -> Result<usize, End> {
        let mut rest = input;
        if self.dialogue.stage == Stage::Upgrading {
            let Some(head) = memchr::memmem::find(input, b"\r\n\r\n") else {
                return Ok(0);
            };
            self.dialogue.upgraded(&input[..head])?;
            rest = &input[head + 4..];
        }
        let Self {
            dialogue,
            frames,
            lines,
            shape,
            events,
        } = self;
        while let Some(piece) = frames
            .next(&mut rest)
            .map_err(|fault| format!("1002 {fault}"))?
        {
            match piece {
                Piece::Text { bytes, end } => {
                    tally.messages += u64::from(end);
                    let mut outcome = Ok(());
                    lines.feed(bytes, end, |whole| {
                        shape.lines(whole, |line| match line {
                            Line::Event(marker) => events.arrive(marker, now, tally),
                            Line::Other(text) if outcome.is_ok() => {
                                outcome = dialogue.line(text, tally);
                            }
                            Line::Other(_) => {}
                        });
                    });
                    outcome?;
                }
                Piece::Ping(payload) => dialogue.send(&frame::pong(payload))?,
                Piece::Pong => {}
                Piece::Close { code, reason } => {
                    // The server may have closed the socket as well by now.
                    let _ = dialogue.send(&frame::close(code));
                    return Err(format!("{code} {}", String::from_utf8_lossy(reason)));
                }
            }
        }
        Ok(input.len() - rest.len())
    }

    pub(crate) fn ended(&mut self) {
        self.dialogue.stage = Stage::Closed;
    }

    pub(crate) fn close(&mut self) {
        if self.dialogue.stage == Stage::Ready {
            let _ = self.dialogue.send(&frame::close(1000));
        }
        self.ended();
    }
}

#[derive(Debug)]
struct Events {
    sequence: Sequence,
    tag: Tag,
    sampled: bool,
}

impl Events {
    #[inline]
    fn arrive(&mut self, bytes: &[u8; marker::LENGTH], now: u64, tally: &mut Tally) {
        let marker = Marker::read(bytes);
        if marker.tag != self.tag {
            tally.foreign += 1;
            return;
        }
        match self.sequence.arrive(marker.sequence) {
            Arrival::InOrder => {}
            Arrival::Ahead(left_out) => {
                tally.ahead += 1;
                tally.missing += u64::from(left_out);
            }
            Arrival::Late => {
                tally.late += 1;
                tally.missing -= 1;
            }
            Arrival::Duplicate => {
                tally.duplicates += 1;
                return;
            }
        }
        tally.deliveries += 1;
        if self.sampled {
            tally.latency.record(marker.sent, now);
        }
    }
}

#[derive(Debug)]
struct Dialogue {
    stream: TcpStream,
    stage: Stage,
    /// Dropped once it is said.
    introduction: Option<Box<Introduction>>,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    id: u32,
    error: Option<ReplyError>,
}

#[derive(Deserialize)]
struct ReplyError {
    code: u32,
    #[serde(default)]
    message: String,
}

impl Dialogue {
    fn send(&mut self, frame: &[u8]) -> Result<(), End> {
        match self.stream.write(frame) {
            Ok(sent) if sent == frame.len() => Ok(()),
            Ok(_) => Err("1006 send buffer full".to_owned()),
            Err(error) => Err(format!("1006 {error}")),
        }
    }

    fn introduce(&mut self, stage: Stage, say: fn(&Introduction) -> Vec<u8>) -> Result<(), End> {
        self.stage = stage;
        let text = say(self.introduction.as_ref().expect("kept until subscribed"));
        self.send(&text)
    }

    fn upgraded(&mut self, head: &[u8]) -> Result<(), End> {
        let head = String::from_utf8_lossy(head);
        let status = head.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) != Some("101") {
            return Err(format!("upgrade answered {status}"));
        }
        let accepted = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .any(|(name, value)| {
                name.eq_ignore_ascii_case("sec-websocket-accept")
                    && value.trim() == HANDSHAKE_ANSWER
            });
        if !accepted {
            return Err("upgrade answered a wrong Sec-WebSocket-Accept".to_owned());
        }
        self.introduce(Stage::Authenticating, Introduction::connect)
    }

    /// A line that is no event of a run.
    fn line(&mut self, text: &[u8], tally: &mut Tally) -> Result<(), End> {
        if text == b"{}" {
            tally.pings += 1;
            return self.send(&frame::text(b"{}"));
        }
        if text.starts_with(b"{\"push\":") {
            tally.other_pushes += 1;
            return Ok(());
        }
        let Ok(Reply { id, error }) = serde_json::from_slice(text) else {
            return Err(format!(
                "1002 not understood: {}",
                String::from_utf8_lossy(&text[..text.len().min(80)])
            ));
        };
        let stage = match id {
            1 => "connect",
            _ => "subscribe",
        };
        if let Some(ReplyError { code, message }) = error {
            return Err(format!("{stage} answered error {code} {message}"));
        }
        match (self.stage, id) {
            (Stage::Authenticating, 1) => {
                self.introduce(Stage::Subscribing, Introduction::subscribe)
            }
            (Stage::Subscribing, 2) => {
                self.stage = Stage::Ready;
                self.introduction = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
