//! Events as types, and what is left of the type once it is in a catalog.

use std::sync::Arc;
use std::time::SystemTime;

use garde::Validate;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::channels::ChannelPattern;
use super::schema::schema_of;
use super::sent::EnvelopeFields;
use super::strict::Strict;
use crate::error::Problem;
use crate::event::{Guarantee, Priority};
use crate::retry::Retry;

/// An event of a platform: its data's type, and beside it everything else that holds for it.
///
/// ```
/// use fanfare::catalog::{EnvelopeFields, TypedEvent};
/// use fanfare::Priority;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema, garde::Validate)]
/// struct StockUpdated {
///     #[garde(range(min = 1))]
///     product_id: u64,
///     #[garde(skip)]
///     new_stock: u64,
/// }
///
/// impl TypedEvent for StockUpdated {
///     const NAME: &'static str = "marketplace.stock.updated";
///     const PRIORITY: Priority = Priority::Medium;
///     const CHANNELS: &'static [&'static str] = &["product.{product_id}"];
///
///     fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
///         Some(self.product_id.to_string())
///     }
/// }
/// ```
pub trait TypedEvent: DeserializeOwned + Validate<Context = ()> + JsonSchema + 'static {
    /// The event's name on the wire.
    const NAME: &'static str;
    /// What it is one of: what stands before the first `.`, `:` or `/` of its name, unless said
    /// otherwise.
    const FAMILY: &'static str = family_of(Self::NAME);
    /// Its priority where the publisher gives none.
    const PRIORITY: Priority;
    /// What is owed to subscribers.
    const GUARANTEE: Guarantee = Guarantee::AtLeastOnce;
    /// What is done where its delivery outside the process fails.
    const RETRY: Retry = Retry::of(Self::PRIORITY, Self::GUARANTEE);
    /// The forms of the channels it may go to. [`channel_id`] fills the first that has room for an id;
    /// without an id it goes to the first that needs none. Empty where any channel of the platform will
    /// do, and the publisher has to name it.
    ///
    /// [`channel_id`]: Self::channel_id
    const CHANNELS: &'static [&'static str];
    /// The roles of which a subscriber must have one to get it; empty where all subscribers do.
    const ROLES: &'static [&'static str] = &[];
    /// The topics, queues' routing keys or subjects by which backend services read it.
    const TOPICS: &'static [&'static str] = &[];
    /// Whether clients may publish it.
    const FROM_CLIENTS: bool = false;

    /// The id in its channel's name, where the data or the envelope says it.
    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        let _ = envelope;
        None
    }

    /// The channels it goes to where the data names several; what [`channel_id`](Self::channel_id) says
    /// does not count then. Each must have one of the forms of [`CHANNELS`](Self::CHANNELS).
    fn channels(&self, envelope: &EnvelopeFields<'_>) -> Vec<String> {
        let _ = envelope;
        Vec::new()
    }

    /// Whether only backend services get it, and no client.
    fn is_for_services_only(&self, envelope: &EnvelopeFields<'_>) -> bool {
        let _ = envelope;
        false
    }

    /// The key under which a newer event of the channel takes this one's place while both wait.
    fn conflation_key(&self) -> Option<String> {
        None
    }

    /// From when on nobody wants it any more, where it is [ephemeral](Guarantee::Ephemeral): a node that
    /// hears of it later does not tell its clients. What was over when it was published goes out all the
    /// same, because clocks differ.
    fn expires_at(&self) -> Option<SystemTime> {
        None
    }

    /// The user in whose name it speaks; a client may speak in its own alone.
    fn author(&self) -> Option<String> {
        None
    }
}

/// What stands before the first separator of an event's name.
const fn family_of(name: &'static str) -> &'static str {
    let bytes = name.as_bytes();
    let mut end = 0;
    while end < bytes.len() && !matches!(bytes[end], b'.' | b':' | b'/') {
        end += 1;
    }
    name.split_at(end).0
}

/// A [`TypedEvent`] without its type.
pub(super) struct EventType {
    pub(super) name: Arc<str>,
    pub(super) family: &'static str,
    pub(super) priority: Priority,
    pub(super) guarantee: Guarantee,
    pub(super) retry: Retry,
    pub(super) channels: Vec<ChannelPattern>,
    pub(super) roles: &'static [&'static str],
    pub(super) topics: &'static [&'static str],
    pub(super) from_clients: bool,
    pub(super) schema: fn(&mut SchemaGenerator) -> Value,
    read: fn(&RawValue, &EnvelopeFields<'_>) -> Result<Reading, Vec<Problem>>,
}

/// What the catalog needs to know of an event's data.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) channel_id: Option<String>,
    pub(super) channels: Vec<String>,
    pub(super) is_for_services_only: bool,
    pub(super) conflation_key: Option<String>,
    pub(super) expires_at: Option<SystemTime>,
    pub(super) author: Option<String>,
}

impl EventType {
    pub(super) fn new<T: TypedEvent>(channels: Vec<ChannelPattern>) -> Self {
        Self {
            name: T::NAME.into(),
            family: T::FAMILY,
            priority: T::PRIORITY,
            guarantee: T::GUARANTEE,
            retry: T::RETRY,
            channels,
            roles: T::ROLES,
            topics: T::TOPICS,
            from_clients: T::FROM_CLIENTS,
            schema: schema_of::<T>,
            read: read::<T>,
        }
    }

    /// Reads and checks an event's data.
    pub(super) fn read(
        &self,
        data: &RawValue,
        envelope: &EnvelopeFields<'_>,
    ) -> Result<Reading, Vec<Problem>> {
        (self.read)(data, envelope)
    }
}

fn read<T: TypedEvent>(
    data: &RawValue,
    envelope: &EnvelopeFields<'_>,
) -> Result<Reading, Vec<Problem>> {
    let typed = parse::<T>(data).map_err(|problem| vec![problem.below("data")])?;
    typed.validate().map_err(|report| {
        let problems = report.iter().map(|(path, error)| {
            let path = path_in(data, &path.to_string());
            Problem::new(path, error.to_string()).below("data")
        });
        problems.collect::<Vec<_>>()
    })?;
    Ok(Reading {
        channel_id: typed.channel_id(envelope),
        channels: typed.channels(envelope),
        is_for_services_only: typed.is_for_services_only(envelope),
        conflation_key: typed.conflation_key(),
        expires_at: typed.expires_at(),
        author: typed.author(),
    })
}

/// Reads a value. A missing field is reported at its own path, where serde knows that of its parent.
pub(super) fn parse<T: DeserializeOwned>(json: &RawValue) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(json.get());
    let deserializer = Strict(&mut deserializer);
    serde_path_to_error::deserialize::<_, T>(deserializer).map_err(|error| {
        let parent = match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        };
        let text = error.inner().to_string();
        // serde_json says where in the text; the path says it better.
        let text = text.split(" at line ").next().unwrap_or_default();
        let field = text.strip_prefix("missing field `");
        match field.and_then(|rest| rest.strip_suffix('`')) {
            Some(field) => Problem::new(field, "is missing").below(&parent),
            None => Problem::new(parent, text),
        }
    })
}

/// A path as the JSON has it. garde names fields as the type does, where serde may rename them.
fn path_in(json: &RawValue, path: &str) -> String {
    let mut names = Vec::new();
    let mut at = serde_json::from_str::<Value>(json.get()).ok();
    for name in path.split('.') {
        let (field, indices) = name.split_at(name.find('[').unwrap_or(name.len()));
        let object = at.as_ref().and_then(Value::as_object);
        let known = object.and_then(|object| object.keys().find(|key| is_same_name(key, field)));
        let known = known.cloned().unwrap_or_else(|| field.to_owned());
        at = at.and_then(|mut value| value.get_mut(&known).map(Value::take));
        for index in indices.split(['[', ']']).filter(|index| !index.is_empty()) {
            at = at.and_then(|mut value| {
                let index = index.parse::<usize>().ok()?;
                value.get_mut(index).map(Value::take)
            });
        }
        names.push(known + indices);
    }
    names.join(".")
}

/// Whether two names differ in case and separators at most: `nft_level`, `nftLevel`, `nft-level`.
fn is_same_name(one: &str, other: &str) -> bool {
    let letters = |name: &str| {
        let letters = name.trim_start_matches("r#").chars();
        letters
            .filter(|letter| !matches!(letter, '_' | '-'))
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    one == other || letters(one) == letters(other)
}
