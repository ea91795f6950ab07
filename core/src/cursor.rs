//! Where a client stands in all its channels, as one text.

use std::fmt;
use std::str::FromStr;

use crate::channel::Channel;
use crate::position::{Epoch, Position};

/// Hexadecimal digits of an entry before its offset: 8 of the channel's tag, 16 of the epoch.
const HEAD: usize = 24;

/// The positions of one connection in its channels.
///
/// Its text is what clients bring back: an entry for each channel, joined by dots. It holds no
/// session, so it is good on every transport, on every node whose positions are the same, and after
/// a restart. About 30 bytes a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    channel: Channel,
    position: Position,
    head: [u8; HEAD],
}

impl Cursor {
    /// Adds a channel, or moves it.
    pub fn set(&mut self, channel: &Channel, position: Position) {
        if !self.advance(channel, position) {
            self.entries.push(Entry {
                channel: channel.clone(),
                position,
                head: head(channel, position.epoch),
            });
        }
    }

    /// Moves a channel, and says whether it is there.
    pub(crate) fn advance(&mut self, channel: &Channel, position: Position) -> bool {
        let Some(entry) = self.entries.iter_mut().find(|e| e.channel == *channel) else {
            return false;
        };
        if entry.position.epoch != position.epoch {
            entry.head = head(channel, position.epoch);
        }
        entry.position = position;
        true
    }

    /// Takes a channel out.
    pub fn remove(&mut self, channel: &Channel) {
        self.entries.retain(|entry| entry.channel != *channel);
    }

    /// The position in a channel.
    #[must_use]
    pub fn position(&self, channel: &Channel) -> Option<Position> {
        let entry = self.entries.iter().find(|e| e.channel == *channel)?;
        Some(entry.position)
    }

    /// The channels and the positions in them.
    pub fn iter(&self) -> impl Iterator<Item = (&Channel, Position)> {
        self.entries.iter().map(|e| (&e.channel, e.position))
    }

    /// How many channels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends the text.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        for (at, entry) in self.entries.iter().enumerate() {
            if at > 0 {
                out.push(b'.');
            }
            out.extend_from_slice(&entry.head);
            write_offset(out, entry.position.offset);
        }
    }
}

impl FromIterator<(Channel, Position)> for Cursor {
    fn from_iter<I: IntoIterator<Item = (Channel, Position)>>(positions: I) -> Self {
        let mut cursor = Self::default();
        for (channel, position) in positions {
            cursor.set(&channel, position);
        }
        cursor
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(self.entries.len() * 32);
        self.write_to(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

/// Appends the text of a cursor that has one channel.
pub(crate) fn write_one(out: &mut Vec<u8>, channel: &Channel, position: Position) {
    out.extend_from_slice(&head(channel, position.epoch));
    write_offset(out, position.offset);
}

/// A cursor that a client brought back. It names no channels, so it says a position only to whom
/// knows for which channel to ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    entries: Vec<(u32, Position)>,
}

impl Resume {
    /// The position in a channel; none where the cursor knew nothing of it.
    #[must_use]
    pub fn position(&self, channel: &Channel) -> Option<Position> {
        let tag = tag(channel);
        let entry = self.entries.iter().find(|(known, _)| *known == tag)?;
        Some(entry.1)
    }

    /// Gives the position in a channel away: a second subscription does not begin there.
    pub(crate) fn take(&mut self, channel: &Channel) -> Option<Position> {
        let tag = tag(channel);
        let at = self.entries.iter().position(|(known, _)| *known == tag)?;
        Some(self.entries.swap_remove(at).1)
    }
}

impl FromStr for Resume {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut entries = Vec::new();
        for entry in text.split('.') {
            let (head, offset) = entry.split_at_checked(HEAD).ok_or(CursorError)?;
            let (tag, epoch) = head.split_at_checked(8).ok_or(CursorError)?;
            let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            let canonical = offset == "0" || !offset.starts_with('0');
            if !tag.bytes().all(digits) || !canonical || !offset.bytes().all(|b| b.is_ascii_digit())
            {
                return Err(CursorError);
            }
            let tag = u32::from_str_radix(tag, 16).map_err(|_| CursorError)?;
            let epoch = epoch.parse::<Epoch>().map_err(|_| CursorError)?;
            let offset = offset.parse().map_err(|_| CursorError)?;
            entries.push((tag, Position { epoch, offset }));
        }
        Ok(Self { entries })
    }
}

/// The text is no cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError;

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the cursor is none that this server gives out")
    }
}

impl std::error::Error for CursorError {}

fn write_offset(out: &mut Vec<u8>, offset: u64) {
    use std::io::Write;
    write!(out, "{offset}").expect("writing to a Vec does not fail");
}

fn head(channel: &Channel, epoch: Epoch) -> [u8; HEAD] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut number = (u128::from(tag(channel)) << 64) | u128::from(epoch.0);
    let mut head = [b'0'; HEAD];
    for digit in head.iter_mut().rev() {
        *digit = DIGITS[(number & 15) as usize];
        number >>= 4;
    }
    head
}

/// Should two channels of a connection share a tag, the epoch tells them apart, and one of them is
/// honestly not recovered.
fn tag(channel: &Channel) -> u32 {
    channel.hash()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn channel(name: &str) -> Channel {
        Channel::new(name).unwrap()
    }

    fn at(epoch: u64, offset: u64) -> Position {
        Position {
            epoch: Epoch::new(epoch),
            offset,
        }
    }

    #[test]
    fn a_cursor_of_one_channel_is_the_same_text_either_way() {
        let mut text = Vec::new();
        write_one(&mut text, &channel("thread.1"), at(0xab, 12));
        let cursor = Cursor::from_iter([(channel("thread.1"), at(0xab, 12))]);
        assert_eq!(String::from_utf8(text).unwrap(), cursor.to_string());
        assert_eq!(cursor.to_string(), "ad838cf400000000000000ab12");
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for bad in [
            "",
            "1",
            ".",
            "ad838cf400000000000000ab",
            "ad838cf400000000000000ab01",
            "ad838cf400000000000000ab+1",
            "1E1fe9fe00000000000000ab1",
            "ad838cf400000000000000ab1.",
            "ad838cf400000000000000ab99999999999999999999",
            "é1fe9fe00000000000000ab1",
        ] {
            assert_eq!(bad.parse::<Resume>(), Err(CursorError), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_went(
            positions in prop::collection::btree_map("[a-z]{1,6}\\.[0-9]{1,4}", (any::<u64>(), any::<u64>()), 1..20),
        ) {
            let mut cursor = Cursor::default();
            for (name, (epoch, offset)) in &positions {
                cursor.set(&channel(name), at(*epoch, 0));
                cursor.set(&channel(name), at(*epoch, *offset));
            }
            let resume = cursor.to_string().parse::<Resume>().unwrap();
            for (name, (epoch, offset)) in &positions {
                prop_assert_eq!(resume.position(&channel(name)), Some(at(*epoch, *offset)));
            }
            prop_assert_eq!(resume.position(&channel("none")), None);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = text.parse::<Resume>();
        }
    }
}
