use std::borrow::Cow;

use super::{Message, ProtocolError, header::DataOpcode};

/// A message of which a part has arrived.
#[derive(Debug)]
pub(super) enum Assembly {
    Text(Text),
    Binary(Vec<u8>),
}

/// Text, checked as it arrives: bad bytes end the connection before the message is complete.
#[derive(Debug, Default)]
pub(super) struct Text {
    checked: String,
    cut: CutCharacter,
}

/// The first bytes of a character whose other bytes have not arrived.
#[derive(Debug, Default)]
struct CutCharacter {
    bytes: [u8; 4],
    length: u8,
}

impl Assembly {
    pub(super) fn new(opcode: DataOpcode) -> Self {
        match opcode {
            DataOpcode::Text => Self::Text(Text::default()),
            DataOpcode::Binary => Self::Binary(Vec::new()),
        }
    }

    pub(super) const fn opcode(&self) -> DataOpcode {
        match self {
            Self::Text(_) => DataOpcode::Text,
            Self::Binary(_) => DataOpcode::Binary,
        }
    }

    /// Appends what arrived of a message that cannot become longer than `limit`.
    pub(super) fn push(&mut self, arrived: &[u8], limit: usize) -> Result<(), ProtocolError> {
        match self {
            Self::Text(text) => text.push(arrived, limit),
            Self::Binary(bytes) => {
                extend(bytes, arrived, limit);
                Ok(())
            }
        }
    }

    /// Appends what a compressed message inflates to, of which `most` bytes are too many to pass.
    /// What stands before the limit is checked all the same, so that it does not matter in which
    /// pieces it came.
    pub(super) fn push_inflated(&mut self, text: &[u8], most: usize) -> Result<(), ProtocolError> {
        let room = most - self.len();
        self.push(&text[..text.len().min(room)], most)?;
        if text.len() > room {
            return Err(ProtocolError::MessageTooBig);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Message<'static>, ProtocolError> {
        match self {
            Self::Text(text) if text.cut.length > 0 => Err(ProtocolError::InvalidUtf8),
            Self::Text(text) => Ok(Message::Text(Cow::Owned(text.checked))),
            Self::Binary(bytes) => Ok(Message::Binary(Cow::Owned(bytes))),
        }
    }

    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    pub(super) const fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.checked.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }
}

impl Text {
    fn push(&mut self, mut arrived: &[u8], limit: usize) -> Result<(), ProtocolError> {
        let length = self.len() + arrived.len();
        let more = growth(self.checked.len(), self.checked.capacity(), length, limit);
        self.checked.reserve_exact(more);

        while self.cut.length > 0 {
            let Some((&byte, rest)) = arrived.split_first() else {
                return Ok(());
            };
            arrived = rest;
            if let Some(character) = self.cut.push(byte)? {
                self.checked.push_str(character);
                self.cut.length = 0;
            }
        }

        match str::from_utf8(arrived) {
            Ok(arrived) => self.checked.push_str(arrived),
            Err(error) if error.error_len().is_none() => {
                let (whole, cut) = arrived.split_at(error.valid_up_to());
                self.checked.push_str(utf8(whole)?);
                self.cut = CutCharacter::new(cut);
            }
            Err(_) => return Err(ProtocolError::InvalidUtf8),
        }
        Ok(())
    }

    const fn len(&self) -> usize {
        self.checked.len() + self.cut.length as usize
    }
}

impl CutCharacter {
    fn new(start: &[u8]) -> Self {
        let mut bytes = [0; 4];
        bytes[..start.len()].copy_from_slice(start);
        Self {
            bytes,
            length: start.len() as u8,
        }
    }

    /// Appends a byte. The character once it is whole; an error as soon as it cannot become one,
    /// and so never a fifth byte.
    fn push(&mut self, byte: u8) -> Result<Option<&str>, ProtocolError> {
        self.bytes[usize::from(self.length)] = byte;
        self.length += 1;
        match str::from_utf8(&self.bytes[..usize::from(self.length)]) {
            Ok(character) => Ok(Some(character)),
            Err(error) if error.error_len().is_none() => Ok(None),
            Err(_) => Err(ProtocolError::InvalidUtf8),
        }
    }
}

pub(in crate::websocket) fn utf8(bytes: &[u8]) -> Result<&str, ProtocolError> {
    str::from_utf8(bytes).map_err(|_| ProtocolError::InvalidUtf8)
}

/// Appends what arrived to a buffer that will never have to hold more than `limit` bytes.
pub(super) fn extend(buffer: &mut Vec<u8>, arrived: &[u8], limit: usize) {
    let length = buffer.len() + arrived.len();
    buffer.reserve_exact(growth(buffer.len(), buffer.capacity(), length, limit));
    buffer.extend_from_slice(arrived);
}

/// How much a buffer reserves on top of its `used` bytes to hold `length` bytes.
///
/// An announced length alone reserves nothing, or a client could take memory with a header: the
/// buffer doubles at most, for bytes that did arrive. It doubles at least, or a client could have
/// it copied for every byte. And it stays within the limit, which doubling alone would not.
fn growth(used: usize, capacity: usize, length: usize, limit: usize) -> usize {
    if length <= capacity {
        return 0;
    }
    capacity.saturating_mul(2).min(limit).max(length) - used
}
