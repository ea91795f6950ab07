//! Channel names.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest channel name, in bytes.
pub const MAX_CHANNEL_BYTES: usize = 255;

/// How many lanes there are; see [`Channel::lane`].
pub const LANES: usize = 32;

/// No name of a channel holds this character.
const NODES: &str = "$nodes";

/// A checked channel name: segments of `A-Z a-z 0-9 _ - :` joined by dots, at most
/// [`MAX_CHANNEL_BYTES`] long, for example `thread.456`.
///
/// Names are compared exactly; there are no wildcards. Cloning costs one reference count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channel(Arc<str>);

impl Channel {
    /// Checks a name and keeps it.
    ///
    /// # Errors
    /// [`ChannelError`] says which rule the name breaks and where.
    pub fn new(name: &str) -> Result<Self, ChannelError> {
        check(name)?;
        Ok(Self(name.into()))
    }

    /// The channel by which nodes speak with each other. No client can name it.
    pub(crate) fn of_nodes() -> Self {
        Self(NODES.into())
    }

    /// A name that came by a broker.
    pub(crate) fn of_broker(name: &str) -> Option<Self> {
        (name == NODES || check(name).is_ok()).then(|| Self(name.into()))
    }

    /// Whether nodes speak with each other here: its events have the best-effort service of
    /// [`Guarantee::Ephemeral`](crate::event::Guarantee), and go to every node that subscribed.
    #[must_use]
    pub fn is_of_nodes(&self) -> bool {
        &*self.0 == NODES
    }

    /// One of [`LANES`], the same on every node: events of a lane keep their order on the way to a
    /// broker. A broker with partitions puts a lane into one of them.
    #[must_use]
    pub fn lane(&self) -> usize {
        let hash = self.hash();
        (hash ^ (hash >> 16)) as usize % LANES
    }

    /// FNV-1a of the name: the same on every node and in every version.
    pub(crate) fn hash(&self) -> u32 {
        self.0.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first segment, which decides the channel's policy: `thread` of `thread.456`.
    #[must_use]
    pub fn family(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }

    /// The segments between the dots, never empty.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// Whether `id` could stand as one segment of a channel name; ids that cannot (one with a dot,
    /// say) would otherwise reach into another user's namespace.
    #[must_use]
    pub fn is_segment(id: &str) -> bool {
        !id.is_empty() && id.len() <= MAX_CHANNEL_BYTES && id.bytes().all(is_segment_byte)
    }
}

fn check(name: &str) -> Result<(), ChannelError> {
    if name.is_empty() {
        return Err(ChannelError::Empty);
    }
    if name.len() > MAX_CHANNEL_BYTES {
        return Err(ChannelError::TooLong { bytes: name.len() });
    }
    let mut start = 0;
    for (at, character) in name.char_indices() {
        if character == '.' {
            if at == start {
                return Err(ChannelError::EmptySegment { at });
            }
            start = at + 1;
        } else if !character.is_ascii() || !is_segment_byte(character as u8) {
            return Err(ChannelError::Character { at, character });
        }
    }
    if start == name.len() {
        return Err(ChannelError::EmptySegment { at: start });
    }
    Ok(())
}

const fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':')
}

/// Why a channel name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelError {
    /// The name is empty.
    Empty,
    /// The name is longer than [`MAX_CHANNEL_BYTES`].
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Two dots follow each other, or one stands at an end.
    EmptySegment {
        /// The byte at which a segment was expected.
        at: usize,
    },
    /// A character that no segment may hold.
    Character {
        /// Its byte position.
        at: usize,
        /// The character.
        character: char,
    },
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("channel name is empty"),
            Self::TooLong { bytes } => write!(
                f,
                "channel name has {bytes} bytes, at most {MAX_CHANNEL_BYTES} are allowed"
            ),
            Self::EmptySegment { at } => {
                write!(f, "channel name has an empty segment at byte {at}")
            }
            Self::Character { at, character } => write!(
                f,
                "channel name has {character:?} at byte {at}; segments are of A-Z a-z 0-9 _ - :"
            ),
        }
    }
}

impl std::error::Error for ChannelError {}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Channel {
    type Err = ChannelError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl Serialize for Channel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refusals_name_the_rule_and_the_place() {
        assert_eq!(Channel::new(""), Err(ChannelError::Empty));
        assert_eq!(
            Channel::new(".a"),
            Err(ChannelError::EmptySegment { at: 0 })
        );
        assert_eq!(
            Channel::new("a..b"),
            Err(ChannelError::EmptySegment { at: 2 })
        );
        assert_eq!(
            Channel::new("a."),
            Err(ChannelError::EmptySegment { at: 2 })
        );
        assert_eq!(
            Channel::new("user.é"),
            Err(ChannelError::Character {
                at: 5,
                character: 'é'
            })
        );
        assert_eq!(
            Channel::new(&"a".repeat(256)),
            Err(ChannelError::TooLong { bytes: 256 })
        );
    }

    proptest! {
        #[test]
        fn accepted_names_are_exactly_the_grammar(name in "[a-c.:_ é-]{0,12}") {
            let grammar = !name.is_empty()
                && name.split('.').all(|s| !s.is_empty() && s.bytes().all(is_segment_byte));
            prop_assert_eq!(Channel::new(&name).is_ok(), grammar);
        }

        #[test]
        fn segments_join_to_the_name(segments in prop::collection::vec("[A-Za-z0-9_:-]{1,8}", 1..6)) {
            let name = segments.join(".");
            let channel = Channel::new(&name).unwrap();
            prop_assert_eq!(channel.segments().collect::<Vec<_>>(), &segments[..]);
            prop_assert_eq!(channel.family(), &segments[0]);
            prop_assert!(segments.iter().all(|s| Channel::is_segment(s)));
        }
    }
}
