//! Events as types, and what is left of the type once it is in a catalog.

use std::sync::Arc;

use garde::Validate;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::channels::ChannelPattern;
use super::envelope::EnvelopeFields;
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
    /// Its priority where the publisher gives none.
    const PRIORITY: Priority;
    /// What is owed to subscribers.
    const GUARANTEE: Guarantee = Guarantee::AtLeastOnce;
    /// What is done where its delivery outside the process fails.
    const RETRY: Retry = Retry::of(Self::PRIORITY, Self::GUARANTEE);
    /// The forms of the channels it may go to; the first is the one that [`channel_id`] fills.
    /// Empty where any channel of the platform will do, and the publisher has to name it.
    ///
    /// [`channel_id`]: Self::channel_id
    const CHANNELS: &'static [&'static str];
    /// Whether clients may publish it.
    const FROM_CLIENTS: bool = false;

    /// The id in its channel's name, where the data or the envelope says it.
    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        let _ = envelope;
        None
    }

    /// The key under which a newer event of the channel takes this one's place while both wait.
    fn conflation_key(&self) -> Option<String> {
        None
    }

    /// The user in whose name it speaks; a client may speak in its own alone.
    fn author(&self) -> Option<String> {
        None
    }
}

/// A [`TypedEvent`] without its type.
pub(super) struct EventType {
    pub(super) name: Arc<str>,
    pub(super) priority: Priority,
    pub(super) guarantee: Guarantee,
    pub(super) retry: Retry,
    pub(super) channels: Vec<ChannelPattern>,
    pub(super) from_clients: bool,
    read: fn(&RawValue, &EnvelopeFields<'_>) -> Result<Reading, Vec<Problem>>,
}

/// What the catalog needs to know of an event's data.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) channel_id: Option<String>,
    pub(super) conflation_key: Option<String>,
    pub(super) author: Option<String>,
}

impl EventType {
    pub(super) fn new<T: TypedEvent>(channels: Vec<ChannelPattern>) -> Self {
        Self {
            name: T::NAME.into(),
            priority: T::PRIORITY,
            guarantee: T::GUARANTEE,
            retry: T::RETRY,
            channels,
            from_clients: T::FROM_CLIENTS,
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
    let mut deserializer = serde_json::Deserializer::from_str(data.get());
    let data = serde_path_to_error::deserialize::<_, T>(&mut deserializer)
        .map_err(|error| vec![unreadable(&error)])?;
    data.validate().map_err(|report| {
        let problems = report
            .iter()
            .map(|(path, error)| Problem::new(below_data(&path.to_string()), error.to_string()));
        problems.collect::<Vec<_>>()
    })?;
    Ok(Reading {
        channel_id: data.channel_id(envelope),
        conflation_key: data.conflation_key(),
        author: data.author(),
    })
}

/// The problem behind a serde error. A missing field is reported at its own path, where serde knows
/// that of its parent.
fn unreadable(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let parent = match error.path().to_string() {
        root if root == "." => String::new(),
        path => path,
    };
    let text = error.inner().to_string();
    // serde_json says where in the text; the path says it better.
    let text = text.split(" at line ").next().unwrap_or_default();
    if let Some(field) = text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        let path = if parent.is_empty() {
            field.to_owned()
        } else {
            format!("{parent}.{field}")
        };
        return Problem::new(below_data(&path), "is missing");
    }
    Problem::new(below_data(&parent), text)
}

fn below_data(path: &str) -> String {
    if path.is_empty() {
        "data".to_owned()
    } else {
        format!("data.{path}")
    }
}
