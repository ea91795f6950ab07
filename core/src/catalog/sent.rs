//! Objects as they were sent.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::Problem;

/// The members of an object as they were sent, in order, duplicates included.
#[derive(Debug)]
pub(super) struct Sent<'a> {
    pub(super) json: &'a str,
    pub(super) fields: Vec<(Cow<'a, str>, &'a RawValue)>,
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

impl<'a> Sent<'a> {
    /// Takes an envelope apart.
    pub(super) fn read(json: &'a str) -> Result<Self, Vec<Problem>> {
        let Members(fields) = serde_json::from_str(json)
            .map_err(|error| vec![Problem::new("", error.to_string())])?;
        Ok(Self { json, fields })
    }

    pub(super) fn fields(&self) -> EnvelopeFields<'_> {
        EnvelopeFields(&self.fields)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    /// The first member of a name.
    pub(super) fn field(&self, name: &str) -> Option<&'a RawValue> {
        let field = self.fields.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| *value)
    }

    /// The object as it was sent, but for some of its members' values.
    pub(super) fn with(&self, values: &[(&str, String)]) -> Cow<'a, str> {
        if values.is_empty() {
            return Cow::Borrowed(self.json);
        }
        let mut json = String::with_capacity(self.json.len() + 256);
        let mut copied = 0;
        for (name, value) in &self.fields {
            let Some((_, other)) = values.iter().find(|(known, _)| known == name) else {
                continue;
            };
            // Values are parts of the text that they were read from.
            let start = value.get().as_ptr().addr() - self.json.as_ptr().addr();
            json.push_str(&self.json[copied..start]);
            json.push_str(other);
            copied = start + value.get().len();
        }
        json.push_str(&self.json[copied..]);
        Cow::Owned(json)
    }

    /// The members of a value, where it is an object.
    pub(super) fn of(value: &'a RawValue) -> Option<Self> {
        Self::read(value.get()).ok()
    }

    /// The object without some of its members; none where it has none of them.
    pub(super) fn without(&self, names: &[&str]) -> Option<String> {
        let left_out = |name: &str| names.contains(&name);
        if !self.fields.iter().any(|(name, _)| left_out(name)) {
            return None;
        }
        let kept = self.fields.iter().filter(|(name, _)| !left_out(name));
        Some(object(kept.map(|(name, value)| (&**name, value.get()))))
    }
}

/// An object of members, whose values are JSON.
pub(super) fn object<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let members = members.map(|(name, json)| {
        let name = serde_json::to_string(name).expect("strings serialize");
        format!("{name}:{json}")
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// A string's text.
pub(super) fn string(value: &RawValue) -> Option<Cow<'_, str>> {
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

impl<'de> Deserialize<'de> for Members<'de> {
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

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
