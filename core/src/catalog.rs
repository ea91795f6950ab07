//! Typed event sets: what a platform may publish, checked when it is published.
//!
//! An event is a Rust type that implements [`TypedEvent`] beside its fields: serde reads it,
//! garde checks its constraints, schemars describes it. A [`Catalog`] is a platform's set of
//! them with the [`Envelope`] they travel in.
//!
//! An envelope stays as it was sent, byte for byte but for insignificant whitespace; fields that the
//! publisher left out are written behind the others.

mod asyncapi;
mod channels;
mod client;
mod envelope;
mod fields;
mod schema;
mod sent;
mod strict;
mod typed;
mod typescript;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::value::RawValue;
use uuid::Uuid;

pub use self::channels::ChannelPattern;
use self::envelope::{Completed, Draft};
pub use self::envelope::{Envelope, Fill};
pub use self::fields::{Date, Nullable, Timestamp, nullable, present};
use self::schema::Control;
pub use self::schema::ControlMessage;
pub use self::sent::EnvelopeFields;
use self::sent::{Sent, string};
pub use self::typed::TypedEvent;
use self::typed::{EventType, Reading};
use crate::channel::Channel;
use crate::config::Limits;
use crate::error::{Error, ErrorKind, Problem};
use crate::event::{Event, ForServices, Priority};
use crate::retry::Retry;

/// A platform's events.
pub struct Catalog {
    envelope: Envelope,
    /// Every channel that the platform knows.
    channels: Vec<ChannelPattern>,
    events: BTreeMap<&'static str, EventType>,
    other: Option<Other>,
    /// What is no event, for the documents.
    controls: Vec<Control>,
}

/// Events in another envelope.
struct Other {
    /// Whether an envelope is one of those.
    is_meant: fn(&EnvelopeFields<'_>) -> bool,
    catalog: Box<Catalog>,
}

/// An envelope that was found good.
#[derive(Debug)]
pub struct Admitted {
    /// The event's id: the envelope's own where it has one.
    pub id: String,
    /// The event, ready to publish: once for each channel it goes to, at least one.
    pub events: Vec<Event>,
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
            other: None,
            controls: Vec::new(),
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

    /// Adds a message that is no event to the documents.
    #[must_use]
    pub fn documents<T: ControlMessage>(mut self) -> Self {
        self.controls.push(Control {
            name: T::NAME,
            from_clients: T::FROM_CLIENTS,
            schema: schema::schema_of::<T>,
        });
        self
    }

    /// Adds events in another envelope, for a platform that has two: those for which `is_other` holds.
    /// What clients publish is in this one's.
    #[must_use]
    pub fn or(mut self, other: Self, is_other: fn(&EnvelopeFields<'_>) -> bool) -> Self {
        self.other = Some(Other {
            is_meant: is_other,
            catalog: Box::new(other),
        });
        self
    }

    /// The names of the events, each once, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let names = self.event_types().map(|(name, _)| name);
        names.collect::<BTreeSet<_>>().into_iter()
    }

    /// The events that only subscribers of certain roles get, with those roles.
    pub fn roles(&self) -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
        let roles = self.event_types().map(|(name, event)| (name, event.roles));
        roles.filter(|(_, roles)| !roles.is_empty())
    }

    /// The retry rule of the event in an envelope, for whoever delivers envelopes further; none where
    /// the event is not in the set, or `envelope` is none.
    ///
    /// It goes by the whole envelope because a name that stands in two of them may have two rules. A
    /// priority that the publisher chose does not change it.
    ///
    /// Cost: the members of the envelope are told apart, nothing in them is read or checked.
    #[must_use]
    pub fn retry(&self, envelope: &[u8]) -> Option<Retry> {
        let sent = Sent::read(str::from_utf8(envelope).ok()?).ok()?;
        let catalog = self.meant(&sent);
        let event = string(sent.field(catalog.envelope.event_field())?)?;
        let event_type = catalog.events.get(&*event)?;
        Some(event_type.retry)
    }

    /// Every event with each envelope that it may come in.
    fn event_types(&self) -> impl Iterator<Item = (&'static str, &EventType)> {
        let others = self.other.iter().flat_map(|other| &other.catalog.events);
        self.events
            .iter()
            .chain(others)
            .map(|(name, event)| (*name, event))
    }

    /// Whether the platform knows a channel.
    #[must_use]
    pub fn knows(&self, channel: &Channel) -> bool {
        let others = self.other.iter().flat_map(|other| &other.catalog.channels);
        self.channels
            .iter()
            .chain(others)
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
        let sent = Sent::read(json).map_err(invalid)?;
        let catalog = self.meant(&sent);
        let draft = catalog.envelope.draft(sent).map_err(invalid)?;
        catalog.admit(&draft).map_err(invalid)
    }

    /// The events in the envelope that was sent.
    fn meant(&self, sent: &Sent<'_>) -> &Self {
        match &self.other {
            Some(other) if (other.is_meant)(&sent.fields()) => &other.catalog,
            _ => self,
        }
    }

    /// Checks a draft against its event's type and completes it.
    fn admit(&self, draft: &Draft<'_>) -> Result<Admitted, Vec<Problem>> {
        let event_type = self.event_type(draft)?;
        let mut problems = Vec::new();
        if let Err(problem) = draft.family(event_type.family) {
            problems.push(problem);
        }
        let priority = draft.priority().unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        let reading = event_type.read(draft.data(), &draft.fields());
        let reading = reading.unwrap_or_else(|found| {
            problems.extend(found);
            Reading::default()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let targets = self
            .targets(draft, event_type, &reading)
            .map_err(|problem| vec![problem])?;
        let priority = priority.unwrap_or(event_type.priority);
        let id = Uuid::now_v7().to_string();
        let fill = Fill {
            id: &id,
            channel: &targets[0],
            priority,
            family: event_type.family,
        };
        let Completed { id, payload, whole } = self.envelope.complete(draft, &fill);
        let is_for_services = reading.is_for_services_only || !event_type.topics.is_empty();
        // Services read it once, whatever the number of its channels.
        let mut services = is_for_services.then(|| ForServices {
            id: id.clone(),
            topics: event_type.topics,
            payload: whole,
            only: reading.is_for_services_only,
        });
        let events = targets.into_iter().map(|channel| {
            let event = event_type.event(channel, priority, payload.clone(), &reading);
            match services.take() {
                Some(services) => event.for_services(services),
                None => event,
            }
        });
        let events = events.collect();
        Ok(Admitted { id, events })
    }

    fn event_type(&self, draft: &Draft<'_>) -> Result<&EventType, Vec<Problem>> {
        self.events.get(draft.event()).ok_or_else(|| {
            let problem = format!("there is no event {:?} on this platform", draft.event());
            vec![Problem::new(self.envelope.event_field(), problem)]
        })
    }

    /// The channels an event goes to, at least one: the explicit one where it fits, else those that its
    /// data names.
    fn targets(
        &self,
        draft: &Draft<'_>,
        event_type: &EventType,
        reading: &Reading,
    ) -> Result<Vec<Channel>, Problem> {
        let path = self.envelope.channel_field();
        let named = self.named_by_data(event_type, reading)?;
        let Some(name) = draft.channel()? else {
            if named.is_empty() && reading.is_for_services_only {
                // It has no channel; what stands in its place orders it among its kind.
                let family = Channel::new(event_type.family);
                return family.map_or_else(
                    |error| Err(Problem::new(path, error.to_string())),
                    |family| Ok(vec![family]),
                );
            }
            if named.is_empty() {
                let problem = "is missing, and the data does not say which channel is meant";
                return Err(Problem::new(path, problem));
            }
            return Ok(named);
        };
        let channel = Channel::new(name).map_err(|error| Problem::new(path, error.to_string()))?;
        let patterns = self.patterns(event_type);
        if !patterns
            .iter()
            .any(|pattern| pattern.matches(&channel).is_some())
        {
            let expected = patterns
                .iter()
                .map(ChannelPattern::as_str)
                .collect::<Vec<_>>()
                .join(" or ");
            let problem = format!("{channel} is not of the form {expected}");
            return Err(Problem::new(path, problem));
        }
        self.agrees(event_type, reading, &channel)?;
        Ok(vec![channel])
    }

    /// What an event's channel may look like.
    fn patterns<'a>(&'a self, event_type: &'a EventType) -> &'a [ChannelPattern] {
        if event_type.channels.is_empty() {
            &self.channels
        } else {
            &event_type.channels
        }
    }

    /// The channels that the data names.
    fn named_by_data(
        &self,
        event_type: &EventType,
        reading: &Reading,
    ) -> Result<Vec<Channel>, Problem> {
        if !reading.channels.is_empty() {
            let mut named = Vec::with_capacity(reading.channels.len());
            for name in &reading.channels {
                let problem = |text: String| Problem::new("data", text);
                let channel = Channel::new(name).map_err(|error| problem(error.to_string()))?;
                let patterns = self.patterns(event_type);
                if !patterns
                    .iter()
                    .any(|pattern| pattern.matches(&channel).is_some())
                {
                    return Err(problem(format!("{channel} is no channel of the event")));
                }
                if !named.contains(&channel) {
                    named.push(channel);
                }
            }
            return Ok(named);
        }
        let mut patterns = event_type.channels.iter();
        let channel = match &reading.channel_id {
            Some(id) => patterns
                .find(|pattern| pattern.has_id())
                .and_then(|pattern| pattern.fill(id)),
            None => patterns
                .find(|pattern| !pattern.has_id())
                .and_then(|pattern| pattern.fill("")),
        };
        Ok(channel.into_iter().collect())
    }

    /// Whether an explicit channel is one that the data names.
    fn agrees(
        &self,
        event_type: &EventType,
        reading: &Reading,
        channel: &Channel,
    ) -> Result<(), Problem> {
        let path = self.envelope.channel_field();
        if event_type.channels.is_empty() {
            return Ok(());
        }
        if !reading.channels.is_empty() {
            let names = reading.channels.iter();
            return match names.clone().any(|name| name == channel.as_str()) {
                true => Ok(()),
                false => {
                    let names = names.map(String::as_str).collect::<Vec<_>>().join(" and ");
                    let problem =
                        format!("{channel} is none of those that the data names, {names}");
                    Err(Problem::new(path, problem))
                }
            };
        }
        let mut patterns = event_type.channels.iter();
        let found = patterns.find_map(|pattern| pattern.matches(channel));
        match (reading.channel_id.as_deref(), found.flatten()) {
            (Some(id), found) if found != Some(id) => Err(Problem::new(
                path,
                format!("{channel} is not the channel that the data names, whose id is {id}"),
            )),
            _ => Ok(()),
        }
    }
}

impl EventType {
    fn event(
        &self,
        channel: Channel,
        priority: Priority,
        payload: Bytes,
        reading: &Reading,
    ) -> Event {
        let mut event = Event::from_compact(channel, self.name.clone(), payload)
            .with_priority(priority)
            .with_guarantee(self.guarantee);
        // What is over already came from a clock that is behind, or is told on purpose.
        let left = reading
            .expires_at
            .and_then(|at| at.duration_since(SystemTime::now()).ok())
            .filter(|left| !left.is_zero());
        if let Some(left) = left {
            event = event.expires_in(left);
        }
        match &reading.conflation_key {
            // With the event's name: other events of the channel may use the same ids.
            Some(key) => event.conflated_by(&format!("{}|{key}", self.name)),
            None => event,
        }
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
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
