//! What services count. No client gets it.

use fanfare::catalog::{EnvelopeFields, TypedEvent};
use fanfare::{Priority, Retry};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{fits_channel, present};

/// A user did something that is counted.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
pub struct EventTracked {
    #[garde(length(min = 1))]
    pub analytics_id: String,
    #[garde(custom(fits_channel))]
    #[schemars(regex(pattern = "^[A-Za-z0-9_:-]{1,250}$"))]
    pub user_id: String,
    #[garde(skip)]
    pub r#type: String,
    #[garde(skip)]
    pub category: String,
    #[garde(skip)]
    pub event: String,
    #[serde(default, deserialize_with = "present")]
    #[garde(skip)]
    #[schemars(with = "f64")]
    pub value: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    #[garde(skip)]
    #[schemars(with = "Map<String, Value>")]
    pub metadata: Option<Map<String, Value>>,
}

impl TypedEvent for EventTracked {
    const NAME: &'static str = "analytics.event_tracked";
    const PRIORITY: Priority = Priority::Low;
    const RETRY: Retry = super::RETRY;
    const CHANNELS: &'static [&'static str] = &[super::OF_ANALYTICS];
    const TOPICS: &'static [&'static str] = &[Self::NAME];

    /// Nobody may join it; its name orders a user's records among themselves.
    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.user_id.clone())
    }

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}
