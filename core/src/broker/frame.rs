//! Events as the bytes that brokers carry.
//!
//! ```text
//! byte 0      version, 1
//! byte 1      priority (bits 0-1), guarantee (bits 2-3), conflation key (bit 4),
//!             publisher (bit 5), stamp (bit 6), expiry (bit 7)
//! 8 bytes     when it was accepted, in microseconds of Unix time
//! 8 bytes     when it expires, if it does, likewise
//! 24 bytes    the stamp, if there is one: origin, number, settled
//! texts       channel, name, [conflation key], [publisher's user, client]: each a length of 4 bytes
//!             and UTF-8
//! the rest    the payload
//! ```
//!
//! Numbers are big-endian.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::time::Instant;

use crate::channel::Channel;
use crate::event::{Event, Guarantee, Priority, Publisher, Stamp};

const VERSION: u8 = 1;
const HAS_KEY: u8 = 1 << 4;
const HAS_PUBLISHER: u8 = 1 << 5;
const HAS_STAMP: u8 = 1 << 6;
const HAS_EXPIRY: u8 = 1 << 7;

impl Event {
    /// The event as bytes, for a broker to carry. Copies the payload once.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let key = self.conflation_key().map(|key| &**key);
        let publisher = self.publisher();
        let texts = [Some(self.channel().as_str()), Some(self.name()), key];
        let of_publisher = publisher.map(|publisher| [&*publisher.user, &*publisher.client]);
        let texts = texts.into_iter().flatten();
        let texts = texts.chain(of_publisher.into_iter().flatten());
        let length = texts.clone().map(|text| 4 + text.len()).sum::<usize>();
        let mut frame = BytesMut::with_capacity(42 + length + self.payload().len());
        frame.put_u8(VERSION);
        let mut bits = self.priority() as u8 | (self.guarantee() as u8) << 2;
        bits |= if key.is_some() { HAS_KEY } else { 0 };
        bits |= if publisher.is_some() {
            HAS_PUBLISHER
        } else {
            0
        };
        bits |= if self.stamp().is_some() { HAS_STAMP } else { 0 };
        let expires_at = self.expires_at();
        bits |= if expires_at.is_some() { HAS_EXPIRY } else { 0 };
        frame.put_u8(bits);
        frame.put_u64(micros_at(self.accepted_at()));
        if let Some(at) = expires_at {
            frame.put_u64(micros_at(at));
        }
        if let Some(stamp) = self.stamp() {
            frame.put_u64(stamp.origin);
            frame.put_u64(stamp.number);
            frame.put_u64(stamp.settled);
        }
        for text in texts {
            let length = u32::try_from(text.len()).expect("no text of an event has 4 GiB");
            frame.put_u32(length);
            frame.put_slice(text.as_bytes());
        }
        frame.put_slice(self.payload());
        frame.freeze()
    }

    /// The event that [`encode`](Self::encode) wrote. The payload is shared with the frame.
    ///
    /// A payload that could break a framing is refused; that it is JSON is taken on trust from the
    /// node that checked it.
    ///
    /// # Errors
    /// [`FrameError`] says what the bytes are not.
    pub fn decode(mut frame: Bytes) -> Result<Self, FrameError> {
        if frame.remaining() < 10 {
            return Err(FrameError::Short);
        }
        let version = frame.get_u8();
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let bits = frame.get_u8();
        let priority = Priority::ALL.get(usize::from(bits & 3));
        let guarantee = Guarantee::ALL.get(usize::from(bits >> 2 & 3));
        let (Some(&priority), Some(&guarantee)) = (priority, guarantee) else {
            return Err(FrameError::Flags(bits));
        };
        let now = Instant::now();
        // Another machine's clock may be ahead.
        let accepted_at = instant_at(frame.get_u64(), now).min(now);
        let expires_at = if bits & HAS_EXPIRY == 0 {
            None
        } else {
            let micros = frame.try_get_u64().map_err(|_| FrameError::Short)?;
            Some(instant_at(micros, now))
        };
        let stamp = if bits & HAS_STAMP == 0 {
            None
        } else {
            Some(stamp(&mut frame)?)
        };
        let channel = text(&mut frame)?;
        let channel = Channel::of_broker(&channel).ok_or(FrameError::Channel)?;
        let name = text(&mut frame)?;
        let key = (bits & HAS_KEY != 0)
            .then(|| text(&mut frame))
            .transpose()?;
        let publisher = if bits & HAS_PUBLISHER == 0 {
            None
        } else {
            Some(Publisher {
                user: text(&mut frame)?,
                client: text(&mut frame)?,
            })
        };
        // JSON without insignificant whitespace holds no control characters.
        if frame.is_empty() || frame.iter().any(|byte| *byte < b' ') {
            return Err(FrameError::Payload);
        }
        let mut event = Self::from_compact(channel, name, frame)
            .with_priority(priority)
            .with_guarantee(guarantee)
            .accepted_then(accepted_at);
        if let Some(at) = expires_at {
            event = event.expiring_at(at);
        }
        if let Some(key) = key {
            event = event.conflated_by(&key);
        }
        if let Some(publisher) = publisher {
            event = event.published_by(publisher);
        }
        Ok(match stamp {
            Some(stamp) => event.stamped(stamp),
            None => event,
        })
    }
}

fn stamp(frame: &mut Bytes) -> Result<Stamp, FrameError> {
    if frame.remaining() < 24 {
        return Err(FrameError::Short);
    }
    Ok(Stamp {
        origin: frame.get_u64(),
        number: frame.get_u64(),
        settled: frame.get_u64(),
    })
}

fn text(frame: &mut Bytes) -> Result<Arc<str>, FrameError> {
    let length = frame.try_get_u32().map_err(|_| FrameError::Short)?;
    let length = usize::try_from(length).map_err(|_| FrameError::Short)?;
    if frame.remaining() < length {
        return Err(FrameError::Short);
    }
    let bytes = frame.split_to(length);
    let text = std::str::from_utf8(&bytes).map_err(|_| FrameError::Text)?;
    Ok(text.into())
}

fn micros_at(instant: Instant) -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = Instant::now();
    let then = since_epoch
        .unwrap_or_default()
        .saturating_add(instant.saturating_duration_since(now))
        .saturating_sub(now.saturating_duration_since(instant));
    u64::try_from(then.as_micros()).unwrap_or(u64::MAX)
}

/// The moment on this machine's clock; now where it is too far away for that.
fn instant_at(micros: u64, now: Instant) -> Instant {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let since_epoch = since_epoch.unwrap_or_default();
    let then = Duration::from_micros(micros);
    let at = match then.checked_sub(since_epoch) {
        Some(ahead) => now.checked_add(ahead),
        None => now.checked_sub(since_epoch.saturating_sub(then)),
    };
    at.unwrap_or(now)
}

/// Bytes are no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// They end too early.
    Short,
    /// They were written by a version that this one does not know.
    Version(u8),
    /// Their second byte has bits that mean nothing.
    Flags(u8),
    /// A text is not UTF-8.
    Text,
    /// The channel's name breaks the rules.
    Channel,
    /// The payload is empty or holds control characters.
    Payload,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the frame of an event ends too early"),
            Self::Version(version) => write!(f, "the frame of an event has version {version}"),
            Self::Flags(bits) => write!(f, "the frame of an event has the flags {bits:#010b}"),
            Self::Text => f.write_str("the frame of an event has a text that is not UTF-8"),
            Self::Channel => f.write_str("the frame of an event names no channel"),
            Self::Payload => f.write_str("the frame of an event has a payload that is not JSON"),
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events() -> impl Strategy<Value = Event> {
        let parts = (
            "[a-z]{1,6}\\.[0-9]{1,4}",
            ".{0,9}",
            prop::option::of(".{0,9}"),
            prop::option::of((".{0,9}", ".{0,9}")),
            prop::option::of((any::<u64>(), any::<u64>(), any::<u64>())),
            (
                0usize..3,
                0usize..3,
                any::<u32>(),
                prop::option::of(any::<u32>()),
            ),
        );
        parts.prop_map(
            |(channel, name, key, publisher, stamp, (priority, guarantee, data, left))| {
                let channel = Channel::new(&channel).unwrap();
                let mut event = Event::new(channel, &name, format!("[{data}]"))
                    .unwrap()
                    .with_priority(Priority::ALL[priority])
                    .with_guarantee(Guarantee::ALL[guarantee]);
                if let Some(key) = key {
                    event = event.conflated_by(&key);
                }
                if let Some(left) = left {
                    event = event.expires_in(Duration::from_millis(left.into()));
                }
                if let Some((user, client)) = publisher {
                    event = event.published_by(Publisher {
                        user: user.into(),
                        client: client.into(),
                    });
                }
                if let Some((origin, number, settled)) = stamp {
                    event = event.stamped(Stamp {
                        origin,
                        number,
                        settled,
                    });
                }
                event
            },
        )
    }

    proptest! {
        #[test]
        fn an_event_comes_back_as_it_went(event in events()) {
            let back = Event::decode(event.encode()).unwrap();
            prop_assert_eq!(back.channel(), event.channel());
            prop_assert_eq!(back.name(), event.name());
            prop_assert_eq!(back.payload(), event.payload());
            prop_assert_eq!(back.priority(), event.priority());
            prop_assert_eq!(back.guarantee(), event.guarantee());
            prop_assert_eq!(back.conflation_key(), event.conflation_key());
            prop_assert_eq!(back.publisher(), event.publisher());
            prop_assert_eq!(back.stamp(), event.stamp());
            prop_assert!(back.age() < event.age() + Duration::from_secs(1));
            prop_assert_eq!(back.expires_at().is_some(), event.expires_at().is_some());
            if let (Some(back), Some(at)) = (back.expires_at(), event.expires_at()) {
                let off = back.max(at) - back.min(at);
                prop_assert!(off < Duration::from_secs(1), "{:?}", off);
            }
        }

        #[test]
        fn a_frame_that_was_cut_is_no_other_event(event in events(), cut in 0usize..60) {
            let frame = event.encode();
            let payload = event.payload().len();
            let kept = frame.len().saturating_sub(payload + cut);
            prop_assert!(Event::decode(frame.slice(..kept)).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..90)) {
            let _ = Event::decode(bytes.clone().into());
            if bytes.len() > 1 {
                bytes[0] = VERSION;
                bytes[1] &= 0b1101_0101;
                let _ = Event::decode(bytes.into());
            }
        }
    }

    #[test]
    fn a_payload_that_could_break_a_framing_is_refused() {
        let channel = Channel::new("thread.1").unwrap();
        let frame = Event::new(channel, "e", "[1,2]").unwrap().encode();
        let broken = frame
            .iter()
            .map(|byte| if *byte == b',' { b'\n' } else { *byte });
        let broken = Event::decode(broken.collect::<Vec<_>>().into());
        assert_eq!(broken.unwrap_err(), FrameError::Payload);
    }
}
