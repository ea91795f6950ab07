//! Quests.

use fanfare::catalog::{EnvelopeFields, TypedEvent, present};
use fanfare::{Priority, Retry};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{event, fits_channel};

/// A quest, and where a user stands with it if one is named.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
pub struct Quest {
    #[garde(length(min = 1))]
    pub quest_id: String,
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

impl Quest {
    fn user(&self) -> Option<&str> {
        self.user_id.as_deref()
    }
}

event! {
    /// There is a new quest.
    Created(Quest) as "QuestCreated", "quest.created", Medium
}

event! {
    /// A quest is another than before.
    Updated(Quest) as "QuestUpdated", "quest.updated", Medium
}

event! {
    /// A quest is gone.
    Deleted(Quest) as "QuestDeleted", "quest.deleted", Medium
}

event! {
    /// A user has set out on a quest.
    Started(Quest) as "QuestStarted", "quest.started", Medium
}

event! {
    /// A user has come to the end of a quest. Its reward follows.
    Completed(Quest) as "QuestCompleted", "quest.completed", High
}

event! {
    /// A user has come farther on a quest.
    ProgressUpdated(Quest) as "QuestProgressUpdated", "quest.progress_updated", Medium
}
