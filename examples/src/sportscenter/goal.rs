//! What athletes aim at.

use fanfare::Priority;
use fanfare::catalog::TypedEvent;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::not_null;

/// An athlete comes closer to a goal, or reaches it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GoalUpdated")]
#[garde(allow_unvalidated)]
pub struct Updated {
    pub athlete_id: String,
    pub goal_id: String,
    pub timestamp: String,
    pub r#type: GoalChange,
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub progress: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GoalChange {
    Achieved,
    Progress,
}

impl TypedEvent for Updated {
    const NAME: &'static str = "goal:update";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["goal"];
}
