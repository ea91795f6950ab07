//! Frames of RFC 6455, without I/O: a [`Decoder`] for what a client sends, and the frames that a
//! server sends.
//!
//! ```
//! use fanfare_transports::websocket::frame::{Decoder, Message};
//!
//! let mut decoder = Decoder::new(64 * 1024);
//! // As it comes from the socket. Any cut will do, here one inside the payload.
//! let mut reads = [b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d".to_vec(), b"\x51\x58".to_vec()];
//! let mut texts = Vec::new();
//! for read in &mut reads {
//!     let mut input = &mut read[..];
//!     while let Some(message) = decoder.decode(&mut input)? {
//!         if let Message::Text(text) = message {
//!             texts.push(text.into_owned());
//!         }
//!     }
//! }
//! assert_eq!(texts, ["Hello"]);
//! # Ok::<(), fanfare_transports::websocket::frame::ProtocolError>(())
//! ```

mod assembly;
mod error;
mod header;
mod inflate;
mod mask;
mod server;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, mem};

pub(super) use self::assembly::utf8;
pub use self::error::ProtocolError;
pub use self::header::DataOpcode;
pub(super) use self::server::compressed_header;
pub use self::server::{ServerHeader, close_frame, header, ping_frame, pong_frame};
pub use super::close::CloseFrame;

use self::assembly::{Assembly, extend};
use self::header::{ClientHeader, ControlOpcode, Opcode, PartialHeader};
use self::inflate::{Inflater, STATE_BYTES};
use self::mask::unmask;

/// The most that a ping, pong or close frame can carry (RFC 6455, section 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// What the client sent, complete, unmasked and checked.
///
/// Borrows from the decoder's input what was in there whole, and owns what was put together from
/// several reads or fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message (RFC 6455, section 5.6).
    Text(Cow<'a, str>),
    /// A binary message (RFC 6455, section 5.6).
    Binary(Cow<'a, [u8]>),
    /// Wants a [`pong_frame`] with the same payload, at most 125 bytes (RFC 6455, section 5.5.2).
    Ping(Cow<'a, [u8]>),
    /// Answers a ping, or is a heartbeat that nobody asked for (RFC 6455, section 5.5.3).
    Pong(Cow<'a, [u8]>),
    /// Wants a [`close_frame`] unless one was sent. The last message (RFC 6455, section 5.5.1).
    Close(Option<CloseFrame<'a>>),
}

/// Turns the bytes of a client into its messages (RFC 6455, section 5).
///
/// Bytes may come in pieces of any size, down to one at a time. Holds no heap memory between
/// messages, and never more than the message limit and the payload of one control frame; while a
/// compressed message arrives, the 48 KiB of deflate besides.
pub struct Decoder {
    max_message: usize,
    /// Whether permessage-deflate was agreed on.
    deflate: bool,
    stage: Stage,
    /// Set from the first byte of a message to the last one of its last fragment, but not by a
    /// message that is whole in the input.
    message: Option<Assembly>,
    /// Set for as long as the message is a compressed one that arrives.
    inflater: Option<Box<Inflater>>,
    /// The part of a control frame's payload that has arrived: control frames may stand between
    /// the fragments of a message.
    control: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Header(PartialHeader),
    Payload(Frame),
    Closed,
    Failed(ProtocolError),
}

/// A frame whose payload is arriving.
#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: Kind,
    /// Turned to the next byte of the payload.
    key: [u8; 4],
    missing: usize,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Data {
        opcode: DataOpcode,
        fin: bool,
        compressed: bool,
    },
    Control(ControlOpcode),
}

impl Decoder {
    /// A decoder for a connection of which nothing was read since the handshake.
    ///
    /// `max_message` is in bytes and holds for all fragments of a message together. It does not
    /// hold for pings, pongs and closes, which may come with 125 bytes in any case.
    #[must_use]
    pub const fn new(max_message: usize) -> Self {
        Self {
            max_message,
            deflate: false,
            stage: Stage::Header(PartialHeader::new()),
            message: None,
            inflater: None,
            control: Vec::new(),
        }
    }

    /// The same where permessage-deflate was agreed on, without context takeover by the client
    /// (RFC 7692). The message limit holds for what a message inflates to.
    #[must_use]
    pub const fn with_deflate(mut self, agreed: bool) -> Self {
        self.deflate = agreed;
        self
    }

    /// Consumes `input` up to the end of the next message, or all of it where it has no such end
    /// (`None`). So call it until it returns `None`, then with what was read next.
    ///
    /// `input` is unmasked in place; a message that is whole in it is not copied. After a close
    /// frame everything is discarded, as RFC 6455, section 1.4, demands.
    ///
    /// # Errors
    ///
    /// As soon as the client breaks RFC 6455 or RFC 7692, or its message exceeds the limit: for a message too
    /// big that is in the header of the frame that goes over it, or where it inflates to more; for text which is not UTF-8 at
    /// the read that has its first bad byte. From then on every call returns the same error.
    pub fn decode<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Message<'a>>, ProtocolError> {
        let decoded = self.next_message(input);
        match &decoded {
            Ok(Some(Message::Close(_))) => self.end(Stage::Closed),
            Err(error) => self.end(Stage::Failed(*error)),
            Ok(_) => {}
        }
        decoded
    }

    /// Bytes of heap memory that the decoder holds for a message which is not complete.
    pub fn buffered(&self) -> usize {
        let state = self.inflater.as_ref().map_or(0, |_| STATE_BYTES);
        self.message.as_ref().map_or(0, Assembly::capacity) + self.control.capacity() + state
    }

    fn next_message<'a>(
        &mut self,
        input: &mut &'a mut [u8],
    ) -> Result<Option<Message<'a>>, ProtocolError> {
        loop {
            let mut frame = match &mut self.stage {
                Stage::Header(partial) => match partial.read(input, self.deflate)? {
                    Some(header) => self.admit(header)?,
                    None => return Ok(None),
                },
                Stage::Payload(frame) => *frame,
                Stage::Closed => {
                    *input = &mut [];
                    return Ok(None);
                }
                Stage::Failed(error) => return Err(*error),
            };

            if input.is_empty() && frame.missing > 0 {
                self.stage = Stage::Payload(frame);
                return Ok(None);
            }
            let arrived = advance(input, frame.missing.min(input.len()));
            frame.key = unmask(arrived, frame.key);
            frame.missing -= arrived.len();
            let message = match frame.kind {
                Kind::Data {
                    opcode,
                    fin,
                    compressed: true,
                } => self.compressed(opcode, arrived, fin && frame.missing == 0)?,
                Kind::Data { opcode, fin, .. } => self.data(opcode, fin, arrived, frame.missing)?,
                Kind::Control(opcode) => self.control(opcode, arrived, frame.missing)?,
            };
            if frame.missing > 0 {
                self.stage = Stage::Payload(frame);
                return Ok(None);
            }
            self.stage = Stage::Header(PartialHeader::new());
            if message.is_some() {
                return Ok(message);
            }
        }
    }

    /// Checks a header against what came before it.
    fn admit(&mut self, header: ClientHeader) -> Result<Frame, ProtocolError> {
        let fin = header.fin;
        let kind = match (header.opcode, &self.message) {
            (Opcode::Control(opcode), _) => Kind::Control(opcode),
            (Opcode::Data(opcode), None) => Kind::Data {
                opcode,
                fin,
                compressed: header.compressed,
            },
            (Opcode::Continuation, Some(message)) => Kind::Data {
                opcode: message.opcode(),
                fin,
                compressed: self.inflater.is_some(),
            },
            (Opcode::Data(_), Some(_)) => return Err(ProtocolError::UnfinishedMessage),
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
        };
        let at_most = |limit| {
            let length = usize::try_from(header.length).ok();
            length.filter(|length| *length <= limit)
        };
        let missing = match kind {
            Kind::Control(_) => at_most(MAX_CONTROL_PAYLOAD),
            Kind::Data {
                compressed: true, ..
            } => {
                let inflater = self.inflater.get_or_insert_with(Box::default);
                inflater.announce(header.length, self.max_message)
            }
            Kind::Data { .. } => {
                at_most(self.max_message - self.message.as_ref().map_or(0, Assembly::len))
            }
        };
        let missing = missing.ok_or(ProtocolError::MessageTooBig)?;
        Ok(Frame {
            kind,
            key: header.key,
            missing,
        })
    }

    fn data<'a>(
        &mut self,
        opcode: DataOpcode,
        fin: bool,
        arrived: &'a [u8],
        missing: usize,
    ) -> Result<Option<Message<'a>>, ProtocolError> {
        let is_last = fin && missing == 0;
        let mut message = match self.message.take() {
            Some(message) => message,
            None if is_last => return whole_message(opcode, arrived).map(Some),
            None => Assembly::new(opcode),
        };
        let limit = if fin {
            message.len() + arrived.len() + missing
        } else {
            self.max_message
        };
        message.push(arrived, limit)?;
        if is_last {
            return message.finish().map(Some);
        }
        self.message = Some(message);
        Ok(None)
    }

    fn compressed(
        &mut self,
        opcode: DataOpcode,
        arrived: &[u8],
        is_last: bool,
    ) -> Result<Option<Message<'static>>, ProtocolError> {
        let most = self.max_message;
        let mut inflater = self.inflater.take().unwrap_or_default();
        let message = self.message.take();
        let mut message = message.unwrap_or_else(|| Assembly::new(opcode));
        inflater.inflate(arrived, |text| message.push_inflated(text, most))?;
        if is_last {
            inflater.finish(|text| message.push_inflated(text, most))?;
            return message.finish().map(Some);
        }
        self.inflater = Some(inflater);
        self.message = Some(message);
        Ok(None)
    }

    fn control<'a>(
        &mut self,
        opcode: ControlOpcode,
        arrived: &'a [u8],
        missing: usize,
    ) -> Result<Option<Message<'a>>, ProtocolError> {
        if missing == 0 && self.control.is_empty() {
            return control_message(opcode, Cow::Borrowed(arrived)).map(Some);
        }
        let limit = self.control.len() + arrived.len() + missing;
        extend(&mut self.control, arrived, limit);
        if missing > 0 {
            return Ok(None);
        }
        control_message(opcode, Cow::Owned(mem::take(&mut self.control))).map(Some)
    }

    fn end(&mut self, stage: Stage) {
        self.stage = stage;
        self.message = None;
        self.inflater = None;
        self.control = Vec::new();
    }
}

/// Without the payloads: they are the user's, not the log's.
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("max_message", &self.max_message)
            .field("deflate", &self.deflate)
            .field("stage", &self.stage)
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}

impl Message<'_> {
    /// Detaches the message from the decoder's input.
    pub fn into_owned(self) -> Message<'static> {
        match self {
            Self::Text(text) => Message::Text(Cow::Owned(text.into_owned())),
            Self::Binary(bytes) => Message::Binary(Cow::Owned(bytes.into_owned())),
            Self::Ping(payload) => Message::Ping(Cow::Owned(payload.into_owned())),
            Self::Pong(payload) => Message::Pong(Cow::Owned(payload.into_owned())),
            Self::Close(frame) => Message::Close(frame.map(CloseFrame::into_owned)),
        }
    }
}

fn whole_message(opcode: DataOpcode, payload: &[u8]) -> Result<Message<'_>, ProtocolError> {
    Ok(match opcode {
        DataOpcode::Text => Message::Text(Cow::Borrowed(utf8(payload)?)),
        DataOpcode::Binary => Message::Binary(Cow::Borrowed(payload)),
    })
}

fn control_message(
    opcode: ControlOpcode,
    payload: Cow<'_, [u8]>,
) -> Result<Message<'_>, ProtocolError> {
    Ok(match opcode {
        ControlOpcode::Close => Message::Close(CloseFrame::parse(&payload)?),
        ControlOpcode::Ping => Message::Ping(payload),
        ControlOpcode::Pong => Message::Pong(payload),
    })
}

/// Takes the first `length` bytes off `input`.
fn advance<'a>(input: &mut &'a mut [u8], length: usize) -> &'a mut [u8] {
    let (head, rest) = mem::take(input).split_at_mut(length);
    *input = rest;
    head
}
