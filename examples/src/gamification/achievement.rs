//! Achievements.

use fanfare::catalog::{EnvelopeFields, TypedEvent, present};
use fanfare::{Priority, Retry};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{event, fits_channel};

/// An achievement, and where a user stands with it if one is named.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
pub struct Achievement {
    #[garde(length(min = 1))]
    pub achievement_id: String,
    #[serde(default, deserialize_with = "present")]
    #[garde(inner(custom(fits_channel)))]
    #[schemars(with = "String", regex(pattern = "^[A-Za-z0-9_:-]{1,250}$"))]
    pub user_id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[garde(skip)]
    #[schemars(with = "String")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[garde(skip)]
    #[schemars(with = "f64")]
    pub points: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    #[garde(skip)]
    #[schemars(with = "f64")]
    pub progress: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    #[garde(skip)]
    #[schemars(with = "String")]
    pub completed_at: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[garde(skip)]
    #[schemars(with = "Map<String, Value>")]
    pub metadata: Option<Map<String, Value>>,
}

impl Achievement {
    fn user(&self) -> Option<&str> {
        self.user_id.as_deref()
    }
}

event! {
    /// There is a new achievement.
    Created(Achievement) as "AchievementCreated", "achievement.created", Medium
}

event! {
    /// An achievement is another than before.
    Updated(Achievement) as "AchievementUpdated", "achievement.updated", Medium
}

event! {
    /// An achievement is gone.
    Deleted(Achievement) as "AchievementDeleted", "achievement.deleted", Medium
}

event! {
    /// A user has reached an achievement.
    Completed(Achievement) as "AchievementCompleted", "achievement.completed", High
}

event! {
    /// A user has come nearer to an achievement.
    ProgressUpdated(Achievement) as "AchievementProgressUpdated", "achievement.progress_updated", Medium
}
