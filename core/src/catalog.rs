//! Typed event sets: what a platform may publish, checked when it is published.
//!
//! An event is a Rust type that implements [`TypedEvent`] beside its fields: serde reads it,
//! garde checks its constraints, schemars describes it. A [`Catalog`] is a platform's set of
//! them with the [`Envelope`] they travel in.
//!
//! An envelope stays as it was sent, byte for byte but for insignificant whitespace; fields that the
//! publisher left out are written behind the others.

mod channels;
mod client;
mod envelope;
mod fields;
mod typed;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;
use uuid::Uuid;

pub use self::channels::ChannelPattern;
use self::envelope::Draft;
pub use self::envelope::{Envelope, EnvelopeFields, Fill};
pub use self::fields::{Date, Timestamp, nullable};
pub use self::typed::TypedEvent;
use self::typed::{EventType, Reading};
use crate::channel::Channel;
use crate::config::Limits;
use crate::error::{Error, ErrorKind, Problem};
use crate::event::{Event, Priority};
use crate::retry::Retry;

/// A platform's events.
pub struct Catalog {
    envelope: Envelope,
    /// Every channel that the platform knows.
    channels: Vec<ChannelPattern>,
    events: BTreeMap<&'static str, EventType>,
}

/// An envelope that was found good.
#[derive(Debug)]
pub struct Admitted {
    /// The event's id: the envelope's own where it has one.
    pub id: String,
    /// The event, ready to publish.
    pub event: Event,
}

impl Catalog {
    /// An empty set of events in an envelope. `channels` are patterns of all the channels that the
    /// platform knows, `thread.{thread_id}` for instance, and `is_id` says what may stand for an id
    /// in them.
    ///
    /// # Panics
    /// Where a pattern could match no channel name.
    #[must_use]
    pub fn new(envelope: Envelope, channels: &[&str], is_id: fn(&str) -> bool) -> Self {
        Self {
            envelope,
            channels: channels
                .iter()
                .map(|pattern| ChannelPattern::new(pattern, is_id))
                .collect(),
            events: BTreeMap::new(),
        }
    }

    /// Adds an event.
    ///
    /// # Panics
    /// Where the name is taken, or its channels are not among the platform's.
    #[must_use]
    pub fn with<T: TypedEvent>(mut self) -> Self {
        let patterns = T::CHANNELS.iter().map(|pattern| {
            let known = self
                .channels
                .iter()
                .find(|known| known.has_shape_of(pattern));
            let known = known
                .unwrap_or_else(|| panic!("{}: {pattern} is no channel of the platform", T::NAME));
            known.clone()
        });
        let taken = self
            .events
            .insert(T::NAME, EventType::new::<T>(patterns.collect()));
        assert!(taken.is_none(), "{} is in the catalog already", T::NAME);
        self
    }

    /// The names of the events, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.events.keys().copied()
    }

    /// The retry rule of an event; none where the event is not in the set.
    #[must_use]
    pub fn retry(&self, event: &str) -> Option<Retry> {
        self.events.get(event).map(|event| event.retry)
    }

    /// Whether the platform knows a channel.
    #[must_use]
    pub fn knows(&self, channel: &Channel) -> bool {
        self.channels
            .iter()
            .any(|pattern| pattern.matches(channel).is_some())
    }

    /// Reads one envelope, or an array of them, as the server API takes it.
    ///
    /// # Errors
    /// [`BadRequest`](ErrorKind::BadRequest) where `body` is JSON but no envelope, or none at all;
    /// [`TooLarge`](ErrorKind::TooLarge) over [`Limits::envelope`];
    /// [`InvalidEvent`](ErrorKind::InvalidEvent) with every problem found, by path.
    pub fn read_from_server(&self, body: &[u8], limits: &Limits) -> Result<Vec<Admitted>, Error> {
        let not_json = |error| {
            Error::new(
                ErrorKind::BadRequest,
                format!("the body is not JSON: {error}"),
            )
        };
        let whole = serde_json::from_slice::<&RawValue>(body).map_err(not_json)?;
        match whole.get().as_bytes().first() {
            Some(b'{') => Ok(vec![self.read(whole, None, limits)?]),
            Some(b'[') => {
                let envelopes =
                    serde_json::from_str::<Vec<&RawValue>>(whole.get()).map_err(not_json)?;
                self.read_batch(&envelopes, limits)
            }
            _ => Err(no_envelope()),
        }
    }

    fn read_batch(&self, envelopes: &[&RawValue], limits: &Limits) -> Result<Vec<Admitted>, Error> {
        if envelopes.is_empty() || envelopes.len() > limits.batch {
            let message = format!(
                "a batch has 1 to {} envelopes, not {}",
                limits.batch,
                envelopes.len()
            );
            return Err(Error::new(ErrorKind::BadRequest, message));
        }
        if envelopes
            .iter()
            .any(|envelope| !envelope.get().starts_with('{'))
        {
            return Err(no_envelope());
        }
        let mut admitted = Vec::with_capacity(envelopes.len());
        let mut problems = Vec::new();
        for (at, envelope) in envelopes.iter().enumerate() {
            match self.read(envelope, Some(at), limits) {
                Ok(read) => admitted.push(read),
                Err(error) if error.kind() == ErrorKind::InvalidEvent => {
                    problems.extend_from_slice(error.problems());
                }
                Err(error) => return Err(error),
            }
        }
        if problems.is_empty() {
            Ok(admitted)
        } else {
            Err(Error::invalid_event(problems))
        }
    }

    fn read(
        &self,
        envelope: &RawValue,
        at: Option<usize>,
        limits: &Limits,
    ) -> Result<Admitted, Error> {
        let json = envelope.get();
        if json.len() > limits.envelope {
            let whose = at.map_or_else(
                || "the envelope".to_owned(),
                |at| format!("envelope [{at}]"),
            );
            let message = format!(
                "{whose} has {} bytes, at most {} are allowed",
                json.len(),
                limits.envelope
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let invalid = |mut problems: Vec<Problem>| {
            if let Some(at) = at {
                for problem in &mut problems {
                    problem.path.insert_str(0, &format!("[{at}]."));
                }
            }
            Error::invalid_event(problems)
        };
        let draft = self.envelope.draft(json).map_err(invalid)?;
        self.admit(&draft).map_err(invalid)
    }

    /// Checks a draft against its event's type and completes it.
    fn admit(&self, draft: &Draft<'_>) -> Result<Admitted, Vec<Problem>> {
        let event_type = self.event_type(draft)?;
        let fields = draft.fields();
        let (reading, mut problems) = match event_type.read(draft.data(), &fields) {
            Ok(reading) => (reading, Vec::new()),
            Err(problems) => (Reading::default(), problems),
        };
        let channel = if problems.is_empty() {
            self.channel(draft, event_type, &reading)
                .map_err(|problem| problems.push(problem))
                .ok()
        } else {
            None
        };
        let priority = draft
            .priority()
            .map_err(|problem| problems.push(problem))
            .ok()
            .flatten();
        let (Some(channel), true) = (channel, problems.is_empty()) else {
            return Err(problems);
        };
        let priority = priority.unwrap_or(event_type.priority);
        let id = Uuid::now_v7().to_string();
        let (id, payload) = self.envelope.complete(
            draft,
            &Fill {
                id: &id,
                channel: &channel,
                priority,
            },
        );
        Ok(Admitted {
            id,
            event: event_type.event(
                channel,
                priority,
                payload,
                reading.conflation_key.as_deref(),
            ),
        })
    }

    fn event_type(&self, draft: &Draft<'_>) -> Result<&EventType, Vec<Problem>> {
        self.events.get(draft.event()).ok_or_else(|| {
            let problem = format!("there is no event {:?} on this platform", draft.event());
            vec![Problem::new(self.envelope.event_field(), problem)]
        })
    }

    /// The channel an event goes to: the explicit one where it fits, else the one its data names.
    fn channel(
        &self,
        draft: &Draft<'_>,
        event_type: &EventType,
        reading: &Reading,
    ) -> Result<Channel, Problem> {
        let path = self.envelope.channel_field();
        let id = reading.channel_id.as_deref();
        let Some(name) = draft.channel()? else {
            let derived = id
                .zip(event_type.channels.first())
                .and_then(|(id, pattern)| pattern.fill(id));
            return derived.ok_or_else(|| {
                Problem::new(
                    path,
                    "is missing, and the data does not say which channel is meant",
                )
            });
        };
        let channel = Channel::new(name).map_err(|error| Problem::new(path, error.to_string()))?;
        let patterns = if event_type.channels.is_empty() {
            &self.channels
        } else {
            &event_type.channels
        };
        let Some(found) = patterns
            .iter()
            .find_map(|pattern| pattern.matches(&channel))
        else {
            let expected = patterns
                .iter()
                .map(ChannelPattern::as_str)
                .collect::<Vec<_>>()
                .join(" or ");
            return Err(Problem::new(
                path,
                format!("{channel} is not of the form {expected}"),
            ));
        };
        match (id, found) {
            (Some(id), Some(found)) if id != found && !event_type.channels.is_empty() => {
                Err(Problem::new(
                    path,
                    format!("{channel} is not the channel that the data names, whose id is {id}"),
                ))
            }
            _ => Ok(channel),
        }
    }
}

impl EventType {
    fn event(
        &self,
        channel: Channel,
        priority: Priority,
        payload: Bytes,
        key: Option<&str>,
    ) -> Event {
        let event = Event::from_compact(channel, self.name.clone(), payload)
            .with_priority(priority)
            .with_guarantee(self.guarantee);
        match key {
            // With the event's name: other events of the channel may use the same ids.
            Some(key) => event.conflated_by(&format!("{}|{key}", self.name)),
            None => event,
        }
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.events.keys()).finish()
    }
}

fn no_envelope() -> Error {
    Error::new(
        ErrorKind::BadRequest,
        "the body is no envelope and no array of envelopes",
    )
}

#[cfg(test)]
mod tests;
