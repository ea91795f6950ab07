//! What nodes of a relay say to each other.
//!
//! ```text
//! byte 0      version, 1
//! byte 1      kind
//! the rest    fields in the order in which they stand below: numbers big-endian, lists and texts with
//!             a length of 4 bytes before them, the frame of an event up to the end
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fanfare::{Channel, LANES};

const VERSION: u8 = 1;
const GOODBYE: u8 = 2;
const ANSWERS: u8 = 4;
const EVENT: u8 = 5;

/// A run of a node: a random number, so that a node which starts again is another.
pub(in crate::fan_out) type NodeId = u64;

/// One time in which one node numbers the events of a lane. Later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Term {
    pub(super) number: u32,
    pub(super) owner: NodeId,
}

/// An event that an owner has numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    pub(super) term: Term,
    /// Its place in its lane, counted from 1 in each term.
    pub(super) number: u64,
    /// The number of the event before it in its channel; 0 where there is none, or none is known.
    pub(super) previous: u64,
    /// As [`fanfare::Event::encode`] wrote it.
    pub(super) frame: Bytes,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was numbered and broadcast, now or before.
    Taken,
    /// Others of its run have to come first.
    Early,
    /// The lane is another's.
    NotMine,
    /// It is no event.
    Garbled,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A node is there, and numbers these lanes. `asks` for the same from all others.
    Hello {
        node: NodeId,
        asks: bool,
        lanes: Vec<(u8, u32)>,
    },
    /// A node ends.
    Goodbye { node: NodeId },
    /// An event for the owner of its lane.
    Request { from: NodeId, id: u64, frame: Bytes },
    /// What became of requests.
    Answers(Vec<(u64, Verdict)>),
    /// An event in its channel's order.
    Event(Numbered),
    /// The newest numbers of channels.
    Newest(Vec<(Channel, Term, u64)>),
    /// Asks for the newest numbers.
    Ask {
        from: NodeId,
        channels: Vec<Channel>,
    },
    /// Asks for a channel's events after one number, up to another.
    Want {
        from: NodeId,
        channel: Channel,
        term: Term,
        after: u64,
        upto: u64,
    },
    /// A channel's events up to a number are not kept any more.
    Lost {
        channel: Channel,
        term: Term,
        upto: u64,
    },
    /// An event that is live only.
    Live { frame: Bytes },
}

/// How a server that can do more than pass a message on should carry it.
#[cfg(feature = "rabbitmq")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fan_out) enum Carriage {
    /// An event with a number: worth keeping, and a second copy does no harm.
    Kept,
    /// It says that what was sent before it was sent: behind its confirmation, or not at all.
    Behind,
    /// Of no use later than at once, and not twice.
    Passing,
}

#[cfg(feature = "rabbitmq")]
impl Carriage {
    /// How an encoded message is to be carried.
    pub(in crate::fan_out) fn of(message: &[u8]) -> Self {
        match message.get(1) {
            Some(&EVENT) => Self::Kept,
            Some(&GOODBYE | &ANSWERS) => Self::Behind,
            _ => Self::Passing,
        }
    }
}

impl Message {
    pub(super) fn encode(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(64);
        to.put_u8(VERSION);
        match self {
            Self::Hello { node, asks, lanes } => {
                to.put_u8(1);
                to.put_u64(*node);
                to.put_u8(u8::from(*asks));
                put_length(&mut to, lanes.len());
                for (lane, term) in lanes {
                    to.put_u8(*lane);
                    to.put_u32(*term);
                }
            }
            Self::Goodbye { node } => {
                to.put_u8(GOODBYE);
                to.put_u64(*node);
            }
            Self::Request { from, id, frame } => {
                to.put_u8(3);
                to.put_u64(*from);
                to.put_u64(*id);
                to.put_slice(frame);
            }
            Self::Answers(answers) => {
                to.put_u8(ANSWERS);
                put_length(&mut to, answers.len());
                for (id, verdict) in answers {
                    to.put_u64(*id);
                    to.put_u8(*verdict as u8);
                }
            }
            Self::Event(event) => {
                to.put_u8(EVENT);
                put_term(&mut to, event.term);
                to.put_u64(event.number);
                to.put_u64(event.previous);
                to.put_slice(&event.frame);
            }
            Self::Newest(channels) => {
                to.put_u8(6);
                put_length(&mut to, channels.len());
                for (channel, term, number) in channels {
                    put_channel(&mut to, channel);
                    put_term(&mut to, *term);
                    to.put_u64(*number);
                }
            }
            Self::Ask { from, channels } => {
                to.put_u8(7);
                to.put_u64(*from);
                put_length(&mut to, channels.len());
                for channel in channels {
                    put_channel(&mut to, channel);
                }
            }
            Self::Want {
                from,
                channel,
                term,
                after,
                upto,
            } => {
                to.put_u8(8);
                to.put_u64(*from);
                put_channel(&mut to, channel);
                put_term(&mut to, *term);
                to.put_u64(*after);
                to.put_u64(*upto);
            }
            Self::Lost {
                channel,
                term,
                upto,
            } => {
                to.put_u8(9);
                put_channel(&mut to, channel);
                put_term(&mut to, *term);
                to.put_u64(*upto);
            }
            Self::Live { frame } => {
                to.put_u8(10);
                to.put_slice(frame);
            }
        }
        to.freeze()
    }

    /// The message that was encoded; none where the bytes are none.
    pub(super) fn decode(mut from: Bytes) -> Option<Self> {
        if from.try_get_u8().ok()? != VERSION {
            return None;
        }
        let message = match from.try_get_u8().ok()? {
            1 => Self::Hello {
                node: u64_of(&mut from)?,
                asks: from.try_get_u8().ok()? != 0,
                lanes: list(&mut from, |from| {
                    let lane = from.try_get_u8().ok()?;
                    let term = from.try_get_u32().ok()?;
                    (usize::from(lane) < LANES).then_some((lane, term))
                })?,
            },
            GOODBYE => Self::Goodbye {
                node: u64_of(&mut from)?,
            },
            3 => Self::Request {
                from: u64_of(&mut from)?,
                id: u64_of(&mut from)?,
                frame: from,
            },
            ANSWERS => Self::Answers(list(&mut from, |from| {
                let id = u64_of(from)?;
                let verdict = match from.try_get_u8().ok()? {
                    0 => Verdict::Taken,
                    1 => Verdict::Early,
                    2 => Verdict::NotMine,
                    3 => Verdict::Garbled,
                    _ => return None,
                };
                Some((id, verdict))
            })?),
            EVENT => Self::Event(Numbered {
                term: term(&mut from)?,
                number: u64_of(&mut from)?,
                previous: u64_of(&mut from)?,
                frame: from,
            }),
            6 => Self::Newest(list(&mut from, |from| {
                Some((channel(from)?, term(from)?, u64_of(from)?))
            })?),
            7 => Self::Ask {
                from: u64_of(&mut from)?,
                channels: list(&mut from, channel)?,
            },
            8 => Self::Want {
                from: u64_of(&mut from)?,
                channel: channel(&mut from)?,
                term: term(&mut from)?,
                after: u64_of(&mut from)?,
                upto: u64_of(&mut from)?,
            },
            9 => Self::Lost {
                channel: channel(&mut from)?,
                term: term(&mut from)?,
                upto: u64_of(&mut from)?,
            },
            10 => Self::Live { frame: from },
            _ => return None,
        };
        Some(message)
    }
}

fn put_length(to: &mut BytesMut, length: usize) {
    to.put_u32(u32::try_from(length).expect("lists of messages are short"));
}

fn put_term(to: &mut BytesMut, term: Term) {
    to.put_u32(term.number);
    to.put_u64(term.owner);
}

fn put_channel(to: &mut BytesMut, channel: &Channel) {
    put_length(to, channel.as_str().len());
    to.put_slice(channel.as_str().as_bytes());
}

fn u64_of(from: &mut Bytes) -> Option<u64> {
    from.try_get_u64().ok()
}

fn term(from: &mut Bytes) -> Option<Term> {
    Some(Term {
        number: from.try_get_u32().ok()?,
        owner: u64_of(from)?,
    })
}

fn channel(from: &mut Bytes) -> Option<Channel> {
    let length = usize::try_from(from.try_get_u32().ok()?).ok()?;
    if from.remaining() < length {
        return None;
    }
    let name = from.split_to(length);
    Channel::new(std::str::from_utf8(&name).ok()?).ok()
}

/// As long as it says, but no memory is reserved for what may not come.
fn list<T>(from: &mut Bytes, mut one: impl FnMut(&mut Bytes) -> Option<T>) -> Option<Vec<T>> {
    let length = from.try_get_u32().ok()?;
    let mut all = Vec::new();
    for _ in 0..length {
        all.push(one(from)?);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messages() -> impl Strategy<Value = Message> {
        let channel = "[a-z]{1,5}(\\.[0-9]{1,3})?".prop_map(|name| Channel::new(&name).unwrap());
        let channel = channel.boxed();
        let term = (any::<u32>(), any::<u64>()).prop_map(|(number, owner)| Term { number, owner });
        let frame = prop::collection::vec(any::<u8>(), 0..9).prop_map(Bytes::from);
        let verdict = prop::sample::select(vec![
            Verdict::Taken,
            Verdict::Early,
            Verdict::NotMine,
            Verdict::Garbled,
        ]);
        prop_oneof![
            (
                any::<u64>(),
                any::<bool>(),
                prop::collection::vec((0u8..32, any::<u32>()), 0..33)
            )
                .prop_map(|(node, asks, lanes)| Message::Hello { node, asks, lanes }),
            any::<u64>().prop_map(|node| Message::Goodbye { node }),
            (any::<u64>(), any::<u64>(), frame.clone())
                .prop_map(|(from, id, frame)| Message::Request { from, id, frame }),
            prop::collection::vec((any::<u64>(), verdict), 0..5).prop_map(Message::Answers),
            (term.clone(), any::<u64>(), any::<u64>(), frame.clone()).prop_map(
                |(term, number, previous, frame)| Message::Event(Numbered {
                    term,
                    number,
                    previous,
                    frame
                })
            ),
            prop::collection::vec((channel.clone(), term.clone(), any::<u64>()), 0..5)
                .prop_map(Message::Newest),
            (any::<u64>(), prop::collection::vec(channel.clone(), 0..5))
                .prop_map(|(from, channels)| Message::Ask { from, channels }),
            (
                any::<u64>(),
                channel.clone(),
                term.clone(),
                any::<u64>(),
                any::<u64>()
            )
                .prop_map(|(from, channel, term, after, upto)| Message::Want {
                    from,
                    channel,
                    term,
                    after,
                    upto
                }),
            (channel, term, any::<u64>()).prop_map(|(channel, term, upto)| Message::Lost {
                channel,
                term,
                upto
            }),
            frame.prop_map(|frame| Message::Live { frame }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(message in messages()) {
            prop_assert_eq!(Message::decode(message.encode()), Some(message));
        }

        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Message::decode(bytes.clone().into());
            let mut versioned = vec![VERSION];
            versioned.extend(bytes);
            let _ = Message::decode(versioned.into());
        }
    }
}
