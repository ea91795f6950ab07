//! How events, heads and receipts lie on disk. Numbers are big endian.

use std::fmt;

use bytes::Bytes;

use super::clock::{Clock, millis};
use crate::channel::Channel;
use crate::event::{Event, Guarantee, Priority, Publication, Publisher};
use crate::history::Receipt;
use crate::position::{Epoch, Position};

/// What retention has to know of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// When it was accepted, in milliseconds since 1970.
    pub(super) at: u64,
    pub(super) weight: u32,
}

/// What is known of a channel without looking at its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) epoch: Epoch,
    /// The newest offset.
    pub(super) top: u64,
    /// The oldest offset that is kept; `top + 1` where none is.
    pub(super) oldest: u64,
    /// The stamp of the oldest; zeros where nothing is kept.
    pub(super) oldest_stamp: Stamp,
    /// The weight of what is kept.
    pub(super) bytes: u64,
    /// The longest that an event is kept, in milliseconds.
    pub(super) age: u64,
    /// When the newest was appended.
    pub(super) touched: u64,
}

/// Bytes that nothing of ours has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record is malformed")
    }
}

impl std::error::Error for Malformed {}

const HAS_KEY: u8 = 1 << 4;
const HAS_PUBLISHER: u8 = 1 << 5;

/// The key of an event. Epochs are random, so an epoch's events lie beside each other and apart
/// from all others.
pub(super) fn event_key(epoch: Epoch, offset: u64) -> [u8; 16] {
    (u128::from(epoch.0) << 64 | u128::from(offset)).to_be_bytes()
}

/// The offset in an event's key.
pub(super) fn offset_of(key: &[u8]) -> Result<u64, Malformed> {
    let mut fields = Fields(key);
    fields.u64()?;
    let offset = fields.u64()?;
    fields.end(offset)
}

pub(super) fn encode_event(event: &Event, stamp: Stamp) -> Vec<u8> {
    let key = event.conflation_key();
    let publisher = event.publisher();
    let mut record = Vec::with_capacity(64 + event.name().len() + event.payload().len());
    record.extend_from_slice(&stamp.at.to_be_bytes());
    record.extend_from_slice(&stamp.weight.to_be_bytes());
    let priority = match event.priority() {
        Priority::High => 0,
        Priority::Medium => 1,
        Priority::Low => 2,
    };
    let guarantee = match event.guarantee() {
        Guarantee::AtLeastOnce => 0,
        Guarantee::BestEffort => 1,
        Guarantee::Ephemeral => 2,
    };
    let with_key = if key.is_some() { HAS_KEY } else { 0 };
    let with_publisher = if publisher.is_some() {
        HAS_PUBLISHER
    } else {
        0
    };
    record.push(priority | guarantee << 2 | with_key | with_publisher);
    push_text(&mut record, event.name());
    if let Some(key) = key {
        push_text(&mut record, key);
    }
    if let Some(publisher) = publisher {
        push_text(&mut record, &publisher.user);
        push_text(&mut record, &publisher.client);
    }
    record.extend_from_slice(event.payload());
    record
}

/// Reads no more than retention has to know.
pub(super) fn decode_stamp(record: &[u8]) -> Result<Stamp, Malformed> {
    Fields(record).stamp()
}

pub(super) fn decode_event(
    channel: &Channel,
    position: Position,
    record: &[u8],
    clock: &Clock,
) -> Result<Publication, Malformed> {
    let mut fields = Fields(record);
    let stamp = fields.stamp()?;
    let [flags] = fields.array()?;
    let priority = match flags & 3 {
        0 => Priority::High,
        1 => Priority::Medium,
        2 => Priority::Low,
        _ => return Err(Malformed),
    };
    let guarantee = match flags >> 2 & 3 {
        0 => Guarantee::AtLeastOnce,
        1 => Guarantee::BestEffort,
        2 => Guarantee::Ephemeral,
        _ => return Err(Malformed),
    };
    let name = fields.text()?;
    let key = match flags & HAS_KEY {
        0 => None,
        _ => Some(fields.text()?),
    };
    let publisher = match flags & HAS_PUBLISHER {
        0 => None,
        _ => Some(Publisher {
            user: fields.text()?.into(),
            client: fields.text()?.into(),
        }),
    };
    let payload = Bytes::copy_from_slice(fields.0);
    let mut event = Event::from_compact(channel.clone(), name.into(), payload)
        .accepted_then(clock.instant(stamp.at))
        .with_priority(priority)
        .with_guarantee(guarantee);
    if let Some(key) = key {
        event = event.conflated_by(key);
    }
    if let Some(publisher) = publisher {
        event = event.published_by(publisher);
    }
    Ok(Publication::new(event, Some(position)))
}

pub(super) fn encode_head(head: &Head) -> Vec<u8> {
    let numbers = [
        head.epoch.0,
        head.top,
        head.oldest,
        head.bytes,
        head.age,
        head.touched,
        head.oldest_stamp.at,
    ];
    let mut record = Vec::with_capacity(8 * numbers.len() + 4);
    for number in numbers {
        record.extend_from_slice(&number.to_be_bytes());
    }
    record.extend_from_slice(&head.oldest_stamp.weight.to_be_bytes());
    record
}

pub(super) fn decode_head(record: &[u8]) -> Result<Head, Malformed> {
    let mut fields = Fields(record);
    let head = Head {
        epoch: Epoch(fields.u64()?),
        top: fields.u64()?,
        oldest: fields.u64()?,
        bytes: fields.u64()?,
        age: fields.u64()?,
        touched: fields.u64()?,
        oldest_stamp: fields.stamp()?,
    };
    if head.oldest == 0 || head.oldest - 1 > head.top {
        return Err(Malformed);
    }
    fields.end(head)
}

pub(super) fn encode_receipt(receipt: &Receipt) -> [u8; 24] {
    let mut record = [0; 24];
    let position = receipt.position;
    record[..8].copy_from_slice(&position.epoch.0.to_be_bytes());
    record[8..16].copy_from_slice(&position.offset.to_be_bytes());
    record[16..].copy_from_slice(&millis(receipt.at).to_be_bytes());
    record
}

pub(super) fn decode_receipt(record: &[u8]) -> Result<Receipt, Malformed> {
    let mut fields = Fields(record);
    let position = Position {
        epoch: Epoch(fields.u64()?),
        offset: fields.u64()?,
    };
    let since = std::time::Duration::from_millis(fields.u64()?);
    let at = std::time::UNIX_EPOCH.checked_add(since).ok_or(Malformed)?;
    fields.end(Receipt { position, at })
}

pub(super) fn decode_u64(record: &[u8]) -> Result<u64, Malformed> {
    let mut fields = Fields(record);
    let number = fields.u64()?;
    fields.end(number)
}

pub(super) fn decode_channel(key: &[u8]) -> Result<Channel, Malformed> {
    let name = std::str::from_utf8(key).map_err(|_| Malformed)?;
    Channel::new(name).map_err(|_| Malformed)
}

/// A text of more than 4 GiB would be cut, which no payload limit lets come this far.
fn push_text(record: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(&text.as_bytes()[..length as usize]);
}

/// What is left of a record.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, left) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    fn stamp(&mut self) -> Result<Stamp, Malformed> {
        Ok(Stamp {
            at: self.u64()?,
            weight: self.u32()?,
        })
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.u32()? as usize;
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)
    }

    /// What was decoded, if nothing is left.
    fn end<T>(&self, decoded: T) -> Result<T, Malformed> {
        if self.0.is_empty() {
            Ok(decoded)
        } else {
            Err(Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = Event> {
        let priority = prop::sample::select(Priority::ALL.to_vec());
        let guarantee = prop::sample::select(vec![Guarantee::AtLeastOnce, Guarantee::BestEffort]);
        let texts = ("\\PC{0,8}", "\\PC{0,8}", prop::option::of("\\PC{0,8}"));
        let publisher = prop::option::of(("\\PC{0,8}", "\\PC{0,8}"));
        (priority, guarantee, texts, publisher).prop_map(
            |(priority, guarantee, (name, payload, key), publisher)| {
                let payload = serde_json::to_string(&payload).unwrap();
                let channel = Channel::new("thread.1").unwrap();
                let mut event = Event::new(channel, &name, payload)
                    .unwrap()
                    .with_priority(priority)
                    .with_guarantee(guarantee);
                if let Some(key) = key {
                    event = event.conflated_by(&key);
                }
                if let Some((user, client)) = publisher {
                    event = event.published_by(Publisher {
                        user: user.into(),
                        client: client.into(),
                    });
                }
                event
            },
        )
    }

    proptest! {
        #[test]
        fn an_event_reads_back_as_it_was(event in event(), offset: u64, ago in 0u64..100_000) {
            let clock = Clock::starting_at(SystemTime::now());
            let stamp = Stamp { at: clock.now() - ago, weight: 7 };
            let position = Position { epoch: Epoch::new(3), offset };
            let record = encode_event(&event, stamp);
            prop_assert_eq!(decode_stamp(&record), Ok(stamp));
            let read = decode_event(event.channel(), position, &record, &clock).unwrap();
            prop_assert_eq!(read.position(), Some(position));
            prop_assert_eq!(clock.at(read.event().accepted_at()), stamp.at);
            prop_assert_eq!(read.event().name(), event.name());
            prop_assert_eq!(read.event().payload(), event.payload());
            prop_assert_eq!(read.event().priority(), event.priority());
            prop_assert_eq!(read.event().guarantee(), event.guarantee());
            prop_assert_eq!(read.event().conflation_key(), event.conflation_key());
            prop_assert_eq!(read.event().publisher(), event.publisher());
        }

        #[test]
        fn bytes_of_any_kind_are_read_or_refused(record: Vec<u8>) {
            let clock = Clock::starting_at(SystemTime::now());
            let channel = Channel::new("thread.1").unwrap();
            let position = Position { epoch: Epoch::new(3), offset: 1 };
            let _ = decode_event(&channel, position, &record, &clock);
            let _ = decode_receipt(&record);
            let _ = decode_channel(&record);
            if let Ok(head) = decode_head(&record) {
                prop_assert_eq!(encode_head(&head), record);
            }
        }
    }

    #[test]
    fn a_head_reads_back_and_a_short_one_is_refused() {
        let head = Head {
            epoch: Epoch::new(u64::MAX),
            top: 9,
            oldest: 4,
            oldest_stamp: Stamp { at: 5, weight: 6 },
            bytes: 700,
            age: u64::MAX,
            touched: 8,
        };
        let record = encode_head(&head);
        assert_eq!(decode_head(&record), Ok(head.clone()));
        assert_eq!(decode_head(&record[1..]), Err(Malformed));
        let record = encode_head(&Head { oldest: 11, ..head });
        assert_eq!(decode_head(&record), Err(Malformed));
    }
}
