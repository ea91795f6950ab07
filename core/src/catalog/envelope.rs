//! The object that an event's data travels in.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::auth::Identity;
use crate::channel::Channel;
use crate::error::Problem;
use crate::event::{Priority, compact};

/// The fields of a platform's envelope: which one is what, how the others are checked, and what is
/// written where one is left out.
#[derive(Debug)]
pub struct Envelope {
    event: &'static str,
    data: &'static str,
    channel: &'static str,
    priority: &'static str,
    id: Option<&'static str>,
    user: Option<&'static str>,
    fields: Vec<Field>,
}

struct Field {
    name: &'static str,
    check: fn(&str) -> Result<(), String>,
    fill: Option<fn(&Fill<'_>) -> String>,
}

/// What an envelope is completed with.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// A new id.
    pub id: &'a str,
    /// The channel the event goes to.
    pub channel: &'a Channel,
    /// Its priority.
    pub priority: Priority,
}

/// An envelope that has been read but not yet checked against its event.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    envelope: &'a Envelope,
    json: &'a str,
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    event: Cow<'a, str>,
    data: &'a RawValue,
}

/// The fields of an envelope, for events whose channel depends on them.
#[derive(Clone, Copy, Debug)]
pub struct EnvelopeFields<'a>(&'a [(Cow<'a, str>, &'a RawValue)]);

impl EnvelopeFields<'_> {
    /// A field's JSON, if it was sent.
    #[must_use]
    pub fn json(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.get())
    }
}

impl Envelope {
    /// An envelope whose event name, data, channel and priority stand under these names.
    #[must_use]
    pub const fn new(
        event: &'static str,
        data: &'static str,
        channel: &'static str,
        priority: &'static str,
    ) -> Self {
        Self {
            event,
            data,
            channel,
            priority,
            id: None,
            user: None,
            fields: Vec::new(),
        }
    }

    /// Adds a field that may be left out. `check` gets its JSON and says what is wrong with it.
    #[must_use]
    pub fn optional(mut self, name: &'static str, check: fn(&str) -> Result<(), String>) -> Self {
        self.fields.push(Field {
            name,
            check,
            fill: None,
        });
        self
    }

    /// Adds a field that is written where it was left out, as the JSON that `fill` gives.
    #[must_use]
    pub fn filled(
        mut self,
        name: &'static str,
        check: fn(&str) -> Result<(), String>,
        fill: fn(&Fill<'_>) -> String,
    ) -> Self {
        self.fields.push(Field {
            name,
            check,
            fill: Some(fill),
        });
        self
    }

    /// Says which field holds the event's id, a string.
    #[must_use]
    pub const fn id(mut self, name: &'static str) -> Self {
        self.id = Some(name);
        self
    }

    /// Says which field names the user behind an event. Events that clients publish carry their user
    /// there, as a number where the id is one.
    #[must_use]
    pub const fn user(mut self, name: &'static str) -> Self {
        self.user = Some(name);
        self
    }

    /// The user's field for an event of a client: its name, and its JSON.
    pub(super) fn user_field(&self, identity: &Identity) -> Option<(&'static str, String)> {
        let user = &identity.user;
        let json = match user.parse::<u64>() {
            Ok(number) if number.to_string() == **user => number.to_string(),
            _ => format!("\"{user}\""),
        };
        Some((self.user?, json))
    }

    pub(super) const fn data_field(&self) -> &'static str {
        self.data
    }

    pub(super) const fn event_field(&self) -> &'static str {
        self.event
    }

    pub(super) const fn channel_field(&self) -> &'static str {
        self.channel
    }

    /// Takes an envelope apart and checks everything but the data.
    pub(super) fn draft<'a>(&'a self, json: &'a str) -> Result<Draft<'a>, Vec<Problem>> {
        let Members(fields) = serde_json::from_str(json)
            .map_err(|error| vec![Problem::new("", error.to_string())])?;
        let mut problems = Vec::new();
        let mut event = None;
        let mut data = None;
        for (at, (name, value)) in fields.iter().enumerate() {
            if fields[..at].iter().any(|(earlier, _)| earlier == name) {
                problems.push(Problem::new(name.as_ref(), "stands twice"));
            } else if name == self.event {
                match string(value) {
                    Some(name) => event = Some(name),
                    None => problems.push(Problem::new(self.event, "is not a string")),
                }
            } else if name == self.data {
                data = Some(*value);
            } else if name != self.channel && name != self.priority {
                match self.fields.iter().find(|field| field.name == name) {
                    None => {
                        problems.push(Problem::new(name.as_ref(), "is no field of the envelope"));
                    }
                    Some(field) => {
                        if let Err(problem) = (field.check)(value.get()) {
                            problems.push(Problem::new(name.as_ref(), problem));
                        }
                    }
                }
            }
        }
        for (name, found) in [(self.event, event.is_some()), (self.data, data.is_some())] {
            if !found && !fields.iter().any(|(known, _)| known == name) {
                problems.push(Problem::new(name, "is missing"));
            }
        }
        match (event, data) {
            (Some(event), Some(data)) if problems.is_empty() => Ok(Draft {
                envelope: self,
                json,
                fields,
                event,
                data,
            }),
            _ => Err(problems),
        }
    }

    /// The event's id and the envelope with what was left out, on one line.
    pub(super) fn complete(&self, draft: &Draft<'_>, fill: &Fill<'_>) -> (String, Bytes) {
        let sent = |name: &str| draft.fields.iter().any(|(known, _)| known == name);
        let mut added = String::new();
        let mut add = |name: &str, json: &str| {
            added.push_str(",\"");
            added.push_str(name);
            added.push_str("\":");
            added.push_str(json);
        };
        if !sent(self.channel) {
            add(self.channel, &format!("\"{}\"", fill.channel));
        }
        if !sent(self.priority) {
            add(self.priority, &format!("\"{}\"", fill.priority.as_str()));
        }
        for field in &self.fields {
            if let Some(value) = field.fill
                && !sent(field.name)
            {
                add(field.name, &value(fill));
            }
        }
        let id = self
            .id
            .and_then(|id| draft.fields.iter().find(|(name, _)| name == id));
        let id = id
            .and_then(|(_, value)| string(value))
            .map_or_else(|| fill.id.to_owned(), Cow::into_owned);
        let json = compact(draft.json.as_bytes())
            .unwrap_or_else(|| Bytes::copy_from_slice(draft.json.as_bytes()));
        if added.is_empty() {
            return (id, json);
        }
        let mut completed = Vec::with_capacity(json.len() + added.len());
        completed.extend_from_slice(&json[..json.len() - 1]);
        completed.extend_from_slice(added.as_bytes());
        completed.push(b'}');
        (id, completed.into())
    }
}

impl<'a> Draft<'a> {
    pub(super) fn event(&self) -> &str {
        &self.event
    }

    pub(super) fn data(&self) -> &'a RawValue {
        self.data
    }

    pub(super) fn fields(&self) -> EnvelopeFields<'_> {
        EnvelopeFields(&self.fields)
    }

    fn field(&self, name: &str) -> Option<&'a RawValue> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| *value)
    }

    pub(super) fn channel(&self) -> Result<Option<&'a str>, Problem> {
        let name = self.envelope.channel;
        let Some(value) = self.field(name) else {
            return Ok(None);
        };
        // A channel's name has no characters that JSON has to escape.
        match serde_json::from_str(value.get()) {
            Ok(channel) => Ok(Some(channel)),
            Err(_) => Err(Problem::new(name, "is not a channel's name")),
        }
    }

    pub(super) fn priority(&self) -> Result<Option<Priority>, Problem> {
        let name = self.envelope.priority;
        let Some(value) = self.field(name) else {
            return Ok(None);
        };
        match serde_json::from_str(value.get()) {
            Ok(priority) => Ok(Some(priority)),
            Err(_) => Err(Problem::new(name, "is not high, medium or low")),
        }
    }
}

fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    if !json.starts_with('"') {
        return None;
    }
    match serde_json::from_str::<&str>(json) {
        Ok(plain) => Some(Cow::Borrowed(plain)),
        Err(_) => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
    }
}

/// The members of a JSON object in order, duplicates included.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    members.push((name.0, map.next_value::<&RawValue>()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
