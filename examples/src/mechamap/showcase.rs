//! Projects that are shown.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AnyObject, Person};

/// A project has something new.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct ProjectUpdated {
    #[garde(range(min = 1))]
    pub showcase_id: u64,
    #[garde(skip)]
    pub update_type: String,
    #[garde(dive)]
    pub content: Content,
    #[garde(dive)]
    pub author: Person,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct Content {
    #[garde(skip)]
    pub image_url: String,
    #[garde(skip)]
    pub description: String,
}

impl TypedEvent for ProjectUpdated {
    const NAME: &'static str = "showcase.project.updated";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["showcase.{showcase_id}"];

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.showcase_id.to_string())
    }
}

/// A project was looked at or liked. The platform's document gives no payload.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
pub struct ProjectStatsUpdated(#[garde(dive)] pub AnyObject);

impl TypedEvent for ProjectStatsUpdated {
    const NAME: &'static str = "showcase.project.stats_updated";
    const PRIORITY: Priority = Priority::Low;
    const CHANNELS: &'static [&'static str] = &[];
}
