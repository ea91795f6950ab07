//! Events, and publications of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::channel::Channel;
use crate::position::Position;

/// How long an event may wait for company before its channel is flushed.
///
/// A priority is a deadline, never a reordering: a channel's waiting events go out together, in
/// order, when the earliest deadline among them arrives.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// At once.
    High,
    /// At most [`Linger::medium`](crate::config::Linger::medium), 2 s by default.
    #[default]
    Medium,
    /// At most [`Linger::low`](crate::config::Linger::low), 10 s by default.
    Low,
}

impl Priority {
    /// All priorities, most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    /// The name used on the wire and as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// What is owed to a subscriber for an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Kept in history and delivered, or the subscriber is disconnected so that it recovers.
    #[default]
    AtLeastOnce,
    /// Kept in history, but given up for a subscriber that is behind its byte budget; the
    /// subscriber is told how many it lost.
    BestEffort,
    /// Live only: no offset, not in history, lost for whoever is not there.
    Ephemeral,
}

impl Guarantee {
    /// All of them, most demanding first.
    pub const ALL: [Self; 3] = [Self::AtLeastOnce, Self::BestEffort, Self::Ephemeral];
}

/// The client that published an event, shown to subscribers beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publisher {
    /// The user id.
    pub user: Arc<str>,
    /// The id of the user's connection.
    pub client: Arc<str>,
}

/// No catalog can name an event so.
const VOID: &str = "\u{0}void";

/// The place of an event among those that one node sent to its broker.
///
/// A node that does not know whether the broker has an event sends it again, and all that followed
/// it. By the stamps, readers take each in its turn and once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// A random number for a run of events whose numbers have no holes.
    pub origin: u64,
    /// The place in the run, counted from 1.
    pub number: u64,
    /// Up to here the broker had confirmed the run when the event was sent.
    pub settled: u64,
}

/// What of an event goes to backend services.
///
/// It does not travel between nodes, and is not in history: the node that accepts the event writes
/// the records to its [`Sink`](crate::Sink), with the channel's name as their key. It does so at least
/// once, whatever is owed to subscribers, but never for an [ephemeral](Guarantee::Ephemeral) event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForServices {
    /// Tells its records from all others, as the envelope's id does. 1 to 128 bytes.
    pub id: String,
    /// The topics, routing keys or subjects it is written to.
    pub topics: &'static [&'static str],
    /// What they get where it differs from what clients get (fields that no client may see).
    pub payload: Option<Bytes>,
    /// Whether no client gets the event: it is not numbered, nor in history, nor sent to other nodes.
    /// Where the node has no sink it is accepted and goes nowhere, because nobody could read it.
    pub only: bool,
}

/// An event on its way to a channel. Cloning costs a few reference counts; the payload is shared.
#[derive(Clone, Debug)]
pub struct Event {
    channel: Channel,
    name: Arc<str>,
    payload: Bytes,
    priority: Priority,
    guarantee: Guarantee,
    conflation_key: Option<Arc<str>>,
    publisher: Option<Arc<Publisher>>,
    stamp: Option<Stamp>,
    services: Option<Arc<ForServices>>,
    accepted_at: Instant,
    expires_at: Option<Instant>,
}

impl Event {
    /// An event with JSON as payload, medium priority and at-least-once.
    ///
    /// Insignificant whitespace is removed, because a newline would break line framings; apart from
    /// that subscribers get the payload byte for byte.
    ///
    /// # Errors
    /// [`EventError`] where the payload is not one JSON value.
    pub fn new(
        channel: Channel,
        name: &str,
        payload: impl Into<Bytes>,
    ) -> Result<Self, EventError> {
        let payload = payload.into();
        serde_json::from_slice::<&RawValue>(&payload).map_err(EventError)?;
        let payload = match compact(&payload) {
            Some(compacted) => compacted,
            None => payload,
        };
        Ok(Self::from_compact(channel, name.into(), payload))
    }

    /// An event whose payload is known to be JSON without insignificant whitespace.
    pub(crate) fn from_compact(channel: Channel, name: Arc<str>, payload: Bytes) -> Self {
        Self {
            channel,
            name,
            payload,
            priority: Priority::default(),
            guarantee: Guarantee::default(),
            conflation_key: None,
            publisher: None,
            stamp: None,
            services: None,
            accepted_at: Instant::now(),
            expires_at: None,
        }
    }

    /// Sets the priority.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets what is owed to subscribers.
    #[must_use]
    pub fn with_guarantee(mut self, guarantee: Guarantee) -> Self {
        self.guarantee = guarantee;
        self
    }

    /// Lets a newer event of the same channel and key take this one's place while both wait.
    #[must_use]
    pub fn conflated_by(mut self, key: &str) -> Self {
        self.conflation_key = Some(key.into());
        self
    }

    /// Says from when on nobody wants it any more: where it is [ephemeral](Guarantee::Ephemeral), a node
    /// that hears of it later drops it. Events that history has do not expire.
    #[must_use]
    pub fn expires_in(mut self, left: Duration) -> Self {
        // What is too far off to be said is never.
        self.expires_at = Instant::now().checked_add(left);
        self
    }

    /// Names the client that published it.
    #[must_use]
    pub fn published_by(mut self, publisher: Publisher) -> Self {
        self.publisher = Some(Arc::new(publisher));
        self
    }

    /// Has it written to service topics as well, or only there.
    #[must_use]
    pub fn for_services(mut self, services: ForServices) -> Self {
        self.services = Some(Arc::new(services));
        self
    }

    /// Gives it its place among those that go to a broker; the node does.
    #[must_use]
    pub fn stamped(mut self, stamp: Stamp) -> Self {
        self.stamp = Some(stamp);
        self
    }

    /// The channel it goes to.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Its name in the platform's event set.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The JSON that subscribers get, without newlines.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Its deadline class.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// What is owed to subscribers.
    #[must_use]
    pub fn guarantee(&self) -> Guarantee {
        self.guarantee
    }

    /// The key under which a newer event replaces this one while both wait.
    #[must_use]
    pub fn conflation_key(&self) -> Option<&Arc<str>> {
        self.conflation_key.as_ref()
    }

    /// The client that published it, if one did.
    #[must_use]
    pub fn publisher(&self) -> Option<&Publisher> {
        self.publisher.as_deref()
    }

    /// What of it goes to backend services; none of one that was read back, or came from elsewhere.
    #[must_use]
    pub fn services(&self) -> Option<&ForServices> {
        self.services.as_deref()
    }

    /// Whether no client gets it.
    #[must_use]
    pub fn is_for_services_only(&self) -> bool {
        self.services.as_ref().is_some_and(|services| services.only)
    }

    /// Its place among those that a node sent to its broker, if one did.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// An event that says nothing, with this one's stamp: it keeps the place of one that the broker
    /// refused, so that readers do not wait for it.
    pub(crate) fn void(&self) -> Self {
        Self {
            name: VOID.into(),
            payload: Bytes::from_static(b"null"),
            conflation_key: None,
            publisher: None,
            ..self.clone()
        }
    }

    /// Whether it says nothing; an ingress drops it.
    #[must_use]
    pub fn is_void(&self) -> bool {
        &*self.name == VOID
    }

    /// Takes off what is for services, so that history does not keep it.
    pub(crate) fn take_services(&mut self) -> Option<Arc<ForServices>> {
        self.services.take()
    }

    /// Whether it is too late to deliver it.
    pub(crate) fn is_over(&self) -> bool {
        let is_past = |at: Instant| at <= Instant::now();
        self.guarantee == Guarantee::Ephemeral && self.expires_at.is_some_and(is_past)
    }

    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Says when it expires; called by those that read it back.
    pub(crate) fn expiring_at(mut self, at: Instant) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// How long ago it was accepted.
    pub(crate) fn age(&self) -> Duration {
        self.accepted_at.elapsed()
    }

    pub(crate) fn accepted_at(&self) -> Instant {
        self.accepted_at
    }

    /// Starts the clock of its deadline anew; called by the node when it accepts the event.
    pub(crate) fn accepted_now(mut self) -> Self {
        self.accepted_at = Instant::now();
        self
    }

    /// Says when it was accepted; called by those that read it back.
    pub(crate) fn accepted_then(mut self, at: Instant) -> Self {
        self.accepted_at = at;
        self
    }
}

/// An event that has been accepted, with its position unless it is ephemeral.
#[derive(Clone, Debug)]
pub struct Publication {
    event: Event,
    position: Option<Position>,
}

impl Publication {
    /// Called by history stores and, for ephemeral events, by the hub.
    #[must_use]
    pub fn new(event: Event, position: Option<Position>) -> Self {
        Self { event, position }
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Its position; none if it is ephemeral.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Roughly the memory it holds, in bytes; what byte budgets count.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.event.payload.len()
    }
}

/// The payload is not one JSON value.
#[derive(Debug)]
pub struct EventError(serde_json::Error);

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the payload is not JSON")
    }
}

impl std::error::Error for EventError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// `json` without whitespace outside strings; none if there was nothing to remove.
///
/// `json` must be valid, which makes tracking quotes and backslashes enough.
pub(crate) fn compact(json: &[u8]) -> Option<Bytes> {
    let mut in_string = false;
    let mut escaped = false;
    let mut significant = |byte: u8| {
        if in_string {
            if escaped {
                escaped = false;
            } else if byte == b'\\' {
                escaped = true;
            } else if byte == b'"' {
                in_string = false;
            }
            true
        } else {
            in_string = byte == b'"';
            !matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
        }
    };
    let first = json.iter().position(|&byte| !significant(byte))?;
    let mut kept = Vec::with_capacity(json.len());
    kept.extend_from_slice(&json[..first]);
    kept.extend(
        json[first + 1..]
            .iter()
            .copied()
            .filter(|&byte| significant(byte)),
    );
    Some(kept.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn event(payload: &str) -> Result<Event, EventError> {
        Event::new(Channel::new("thread.1").unwrap(), "e", payload.to_owned())
    }

    #[test]
    fn only_whitespace_outside_strings_is_removed() {
        let event = event("{ \"a b\" :\n [1.50, \"x \\\" y\\\\\" ] }\n").unwrap();
        assert_eq!(event.payload(), r#"{"a b":[1.50,"x \" y\\"]}"#);
    }

    #[test]
    fn a_payload_is_one_json_value() {
        for bad in ["", "{", "{} {}", "nul", "\u{1}"] {
            assert!(event(bad).is_err(), "{bad:?}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[ \\\\\"a\n]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[ a\"\\\\]{0,3}", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn compacting_equals_serializing_compactly(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let event = event(&pretty).unwrap();
            prop_assert_eq!(event.payload(), &serde_json::to_string(&value).unwrap());
        }
    }
}
