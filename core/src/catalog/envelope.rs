//! The object that an event's data travels in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::schema::{priorities, schema_of};
use super::sent::{EnvelopeFields, Sent, object, string};
use super::typed::parse;
use crate::auth::Identity;
use crate::channel::Channel;
use crate::error::Problem;
use crate::event::{Priority, compact};

/// The fields of a platform's envelope: which one is what, how the others are checked, and what is
/// written where one is left out.
#[derive(Debug)]
pub struct Envelope {
    title: &'static str,
    event: &'static str,
    data: &'static str,
    channel: Option<Named>,
    priority: Option<Named>,
    family: Option<&'static str>,
    id: Option<&'static str>,
    user: Option<&'static str>,
    fields: Vec<Field>,
    internal: &'static [&'static str],
}

/// A field that says something about the event, and which the event can do without.
#[derive(Clone, Copy, Debug)]
struct Named {
    name: &'static str,
    /// Whether it is written where it was left out.
    is_filled: bool,
}

struct Field {
    name: &'static str,
    is_required: bool,
    check: fn(&RawValue) -> Result<(), Problem>,
    fill: Option<Write>,
    /// The members that are written where they were left out.
    members: &'static [(&'static str, Write)],
    schema: fn(&mut SchemaGenerator) -> Value,
}

/// When an envelope has a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occurrence {
    /// Always, because publishers must send it.
    Always,
    /// Always, because it is written where publishers left it out.
    Filled,
    /// Where a publisher sent it.
    Sometimes,
}

/// Gives the JSON of a value that was left out.
type Write = fn(&Fill<'_>) -> String;

/// What an envelope is completed with.
#[derive(Clone, Copy, Debug)]
pub struct Fill<'a> {
    /// A new id.
    pub id: &'a str,
    /// The channel the event goes to.
    pub channel: &'a Channel,
    /// Its priority.
    pub priority: Priority,
    /// Its family.
    pub family: &'a str,
}

/// An envelope that has been read but not yet checked against its event.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    envelope: &'a Envelope,
    sent: Sent<'a>,
    event: Cow<'a, str>,
    data: &'a RawValue,
}

impl Envelope {
    /// An envelope whose event name and data stand under these names.
    #[must_use]
    pub const fn new(event: &'static str, data: &'static str) -> Self {
        Self {
            title: "Envelope",
            event,
            data,
            channel: None,
            priority: None,
            family: None,
            id: None,
            user: None,
            fields: Vec::new(),
            internal: &[],
        }
    }

    /// What documents call it, an identifier; `Envelope` unless said otherwise.
    #[must_use]
    pub const fn titled(mut self, title: &'static str) -> Self {
        self.title = title;
        self
    }

    pub(super) const fn title(&self) -> &'static str {
        self.title
    }

    /// The field that names the channel; written where it was left out.
    #[must_use]
    pub const fn channel(mut self, name: &'static str) -> Self {
        let is_filled = true;
        self.channel = Some(Named { name, is_filled });
        self
    }

    /// A field by which the publisher may name the channel, though the platform's envelopes have none.
    #[must_use]
    pub const fn takes_channel(mut self, name: &'static str) -> Self {
        let is_filled = false;
        self.channel = Some(Named { name, is_filled });
        self
    }

    /// The field that holds the priority; written where it was left out.
    #[must_use]
    pub const fn priority(mut self, name: &'static str) -> Self {
        let is_filled = true;
        self.priority = Some(Named { name, is_filled });
        self
    }

    /// A field by which the publisher may choose the priority, though the platform's envelopes have
    /// none.
    #[must_use]
    pub const fn takes_priority(mut self, name: &'static str) -> Self {
        let is_filled = false;
        self.priority = Some(Named { name, is_filled });
        self
    }

    /// The field that holds the event's [family](super::TypedEvent::FAMILY): no other may stand there;
    /// written where it was left out.
    #[must_use]
    pub const fn family(mut self, name: &'static str) -> Self {
        self.family = Some(name);
        self
    }

    /// Adds a field that must be there, and be a `T`.
    #[must_use]
    pub fn required<T: DeserializeOwned + JsonSchema>(self, name: &'static str) -> Self {
        self.field::<T>(name, true, None, &[])
    }

    /// Adds a field that may be left out, and otherwise is a `T`.
    #[must_use]
    pub fn optional<T: DeserializeOwned + JsonSchema>(self, name: &'static str) -> Self {
        self.field::<T>(name, false, None, &[])
    }

    /// Adds a field that is a `T`, and is written where it was left out, as the JSON that `fill` gives.
    #[must_use]
    pub fn filled<T: DeserializeOwned + JsonSchema>(self, name: &'static str, fill: Write) -> Self {
        self.field::<T>(name, false, Some(fill), &[])
    }

    /// Adds a field that is an object and a `T`, in which each of `members` is written where it was
    /// left out, as the JSON that stands beside its name. Where the whole field was left out it is made
    /// of them.
    #[must_use]
    pub fn completed<T: DeserializeOwned + JsonSchema>(
        self,
        name: &'static str,
        members: &'static [(&'static str, Write)],
    ) -> Self {
        self.field::<T>(name, false, None, members)
    }

    fn field<T: DeserializeOwned + JsonSchema>(
        mut self,
        name: &'static str,
        is_required: bool,
        fill: Option<Write>,
        members: &'static [(&'static str, Write)],
    ) -> Self {
        self.fields.push(Field {
            name,
            is_required,
            check: |json| parse::<T>(json).map(|_| ()),
            fill,
            members,
            schema: schema_of::<T>,
        });
        self
    }

    /// Names the fields of the envelope, and of the data, that publishers may send and no client may
    /// see: they are taken out of what clients get. Backend services get them.
    #[must_use]
    pub const fn internal(mut self, names: &'static [&'static str]) -> Self {
        self.internal = names;
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

    /// The fields beside event and data that clients may find, with their schemas, for an event of a
    /// family.
    pub(super) fn schemas(
        &self,
        family: &str,
        generator: &mut SchemaGenerator,
    ) -> Vec<(&'static str, Occurrence, Value)> {
        let occurs = |is_filled: bool| match is_filled {
            true => Occurrence::Filled,
            false => Occurrence::Sometimes,
        };
        let mut fields = Vec::new();
        if let Some(channel) = self.channel {
            let schema = json!({ "type": "string" });
            fields.push((channel.name, occurs(channel.is_filled), schema));
        }
        if let Some(priority) = self.priority {
            fields.push((priority.name, occurs(priority.is_filled), priorities()));
        }
        if let Some(name) = self.family {
            fields.push((name, Occurrence::Filled, json!({ "const": family })));
        }
        for field in &self.fields {
            let occurrence = match field.is_required {
                true => Occurrence::Always,
                false => occurs(field.fill.is_some() || !field.members.is_empty()),
            };
            fields.push((field.name, occurrence, (field.schema)(generator)));
        }
        fields
    }

    /// Where a problem with the channel is reported.
    pub(super) fn channel_field(&self) -> &'static str {
        self.channel.map_or("channel", |channel| channel.name)
    }

    /// Checks everything but the data.
    pub(super) fn draft<'a>(&'a self, sent: Sent<'a>) -> Result<Draft<'a>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut event = None;
        let mut data = None;
        for (at, (name, value)) in sent.fields.iter().enumerate() {
            if sent.fields[..at].iter().any(|(earlier, _)| earlier == name) {
                problems.push(Problem::new(name.as_ref(), "stands twice"));
            } else if name == self.event {
                match string(value) {
                    Some(name) => event = Some(name),
                    None => problems.push(Problem::new(self.event, "is not a string")),
                }
            } else if name == self.data {
                data = Some(*value);
                // serde would read a struct from an array as well.
                if value.get().starts_with('[') {
                    problems.push(Problem::new(self.data, "is not an object"));
                }
            } else if let Some(field) = self.fields.iter().find(|field| field.name == name) {
                if let Err(problem) = (field.check)(value) {
                    problems.push(problem.below(name));
                } else if !field.members.is_empty() && !value.get().starts_with('{') {
                    // As above.
                    problems.push(Problem::new(name.as_ref(), "is not an object"));
                }
            } else if !self.has(name) {
                problems.push(Problem::new(name.as_ref(), "is no field of the envelope"));
            }
        }
        let required = self.fields.iter().filter(|field| field.is_required);
        let required = required.map(|field| field.name);
        for name in [self.event, self.data].into_iter().chain(required) {
            if !sent.has(name) {
                problems.push(Problem::new(name, "is missing"));
            }
        }
        match (event, data) {
            (Some(event), Some(data)) if problems.is_empty() => Ok(Draft {
                envelope: self,
                sent,
                event,
                data,
            }),
            _ => Err(problems),
        }
    }

    /// Whether a name is that of a field with a meaning of its own, or of one that is internal.
    fn has(&self, name: &str) -> bool {
        let named = [self.channel, self.priority];
        let mut named = named.into_iter().flatten().map(|named| named.name);
        named.any(|known| known == name)
            || self.family.is_some_and(|known| known == name)
            || self.internal.contains(&name)
    }

    /// The event's id and the envelope with what was left out, on one line.
    pub(super) fn complete(&self, draft: &Draft<'_>, fill: &Fill<'_>) -> Completed {
        let sent = &draft.sent;
        let mut added = String::new();
        let mut add = |name: &str, json: &str| {
            if !sent.has(name) {
                added.push_str(",\"");
                added.push_str(name);
                added.push_str("\":");
                added.push_str(json);
            }
        };
        if let Some(channel) = self.channel.filter(|channel| channel.is_filled) {
            add(channel.name, &format!("\"{}\"", fill.channel));
        }
        if let Some(priority) = self.priority.filter(|priority| priority.is_filled) {
            add(priority.name, &format!("\"{}\"", fill.priority.as_str()));
        }
        if let Some(family) = self.family {
            add(family, &format!("\"{}\"", fill.family));
        }
        let mut completed = Vec::new();
        for field in &self.fields {
            if let Some(value) = field.fill {
                add(field.name, &value(fill));
            }
            if field.members.is_empty() {
                continue;
            }
            match sent.field(field.name) {
                None => add(field.name, &field.completed("{}", fill)),
                Some(value) => completed.push((field.name, field.completed(value.get(), fill))),
            }
        }
        let id = self.id.and_then(|id| draft.field(id));
        let id = id.and_then(string);
        let id = id.map_or_else(|| fill.id.to_owned(), Cow::into_owned);
        let whole = followed_by(&sent.with(&completed), &added);
        let (payload, whole) = match draft.without_internal(&completed) {
            None => (whole, None),
            Some(json) => (followed_by(&json, &added), Some(whole)),
        };
        Completed { id, payload, whole }
    }
}

impl Field {
    /// An object with the members that were left out behind its own.
    fn completed(&self, object: &str, fill: &Fill<'_>) -> String {
        // What was sent has been read as a `T` by now.
        let sent = serde_json::from_str::<BTreeMap<Cow<'_, str>, IgnoredAny>>(object);
        let sent = sent.unwrap_or_default();
        let mut members = object.strip_suffix('}').unwrap_or(object).to_owned();
        let mut is_first = sent.is_empty();
        for (name, value) in self
            .members
            .iter()
            .filter(|(name, _)| !sent.contains_key(*name))
        {
            let comma = if is_first { "" } else { "," };
            is_first = false;
            members.push_str(&format!("{comma}\"{name}\":{}", value(fill)));
        }
        members.push('}');
        members
    }
}

/// An envelope with nothing left out.
pub(super) struct Completed {
    /// The event's id.
    pub(super) id: String,
    /// What clients get.
    pub(super) payload: Bytes,
    /// What backend services get, where that is more.
    pub(super) whole: Option<Bytes>,
}

/// An object with more members behind its own, without insignificant whitespace.
fn followed_by(json: &str, added: &str) -> Bytes {
    let json = compact(json.as_bytes()).unwrap_or_else(|| Bytes::copy_from_slice(json.as_bytes()));
    if added.is_empty() {
        return json;
    }
    let mut all = Vec::with_capacity(json.len() + added.len());
    all.extend_from_slice(&json[..json.len() - 1]);
    // Of an object that has no members of its own.
    let added = if json.len() == 2 { &added[1..] } else { added };
    all.extend_from_slice(added.as_bytes());
    all.push(b'}');
    all.into()
}

impl<'a> Draft<'a> {
    pub(super) fn event(&self) -> &str {
        &self.event
    }

    pub(super) fn data(&self) -> &'a RawValue {
        self.data
    }

    pub(super) fn fields(&self) -> EnvelopeFields<'_> {
        self.sent.fields()
    }

    /// The envelope, some of its values being `completed`, without what no client may see; none where
    /// there is nothing of it.
    fn without_internal(&self, completed: &[(&str, String)]) -> Option<String> {
        let internal = self.envelope.internal;
        if internal.is_empty() {
            return None;
        }
        let data = Sent::of(self.data).and_then(|data| data.without(internal));
        let outside = self.sent.without(internal);
        if data.is_none() && outside.is_none() {
            return None;
        }
        let kept = self.sent.fields.iter();
        let kept = kept.filter(|(name, _)| !internal.contains(&&**name));
        Some(object(kept.map(|(name, value)| match &data {
            Some(data) if name == self.envelope.data => (&**name, &**data),
            _ => {
                let completed = completed.iter().find(|(field, _)| field == name);
                let value = completed.map_or(value.get(), |(_, completed)| completed);
                (&**name, value)
            }
        })))
    }

    fn field(&self, name: &str) -> Option<&'a RawValue> {
        self.sent.field(name)
    }

    pub(super) fn channel(&self) -> Result<Option<&'a str>, Problem> {
        let name = self.envelope.channel_field();
        let value = self.envelope.channel.and_then(|_| self.field(name));
        let Some(value) = value else {
            return Ok(None);
        };
        // A channel's name has no characters that JSON has to escape.
        match serde_json::from_str(value.get()) {
            Ok(channel) => Ok(Some(channel)),
            Err(_) => Err(Problem::new(name, "is not a channel's name")),
        }
    }

    /// Checks what the envelope says of the event's family.
    pub(super) fn family(&self, expected: &str) -> Result<(), Problem> {
        let Some(name) = self.envelope.family else {
            return Ok(());
        };
        match self.field(name).map(string) {
            None => Ok(()),
            Some(Some(family)) if family == expected => Ok(()),
            Some(_) => Err(Problem::new(
                name,
                format!("is not {expected:?}, the event's own"),
            )),
        }
    }

    pub(super) fn priority(&self) -> Result<Option<Priority>, Problem> {
        let Some(Named { name, .. }) = self.envelope.priority else {
            return Ok(None);
        };
        let Some(value) = self.field(name) else {
            return Ok(None);
        };
        match serde_json::from_str(value.get()) {
            Ok(priority) => Ok(Some(priority)),
            Err(_) => Err(Problem::new(name, "is not high, medium or low")),
        }
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
