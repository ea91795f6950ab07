//! Training sessions.

use fanfare::Priority;
use fanfare::catalog::TypedEvent;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::not_null;

/// A session begins, ends or rests.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SessionStatusChanged")]
#[garde(allow_unvalidated)]
pub struct StatusChanged {
    pub session_id: String,
    pub timestamp: String,
    pub r#type: StatusChange,
    pub metadata: SessionMetadata,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusChange {
    Started,
    Ended,
    Paused,
    Resumed,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct SessionMetadata {
    pub coach_id: String,
    pub athlete_id: String,
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub location: Option<String>,
}

impl TypedEvent for StatusChanged {
    const NAME: &'static str = "session:status";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = &["session"];
    const ROLES: &'static [&'static str] = &["coach", "athlete", "parent"];
}

/// A coach or mentor says something while a session runs.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SessionFeedbackGiven")]
#[garde(allow_unvalidated)]
pub struct FeedbackGiven {
    pub session_id: String,
    pub timestamp: String,
    pub feedback_id: String,
    pub r#type: FeedbackType,
    pub content: String,
    pub from: FeedbackAuthor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeedbackType {
    Technique,
    Performance,
    General,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct FeedbackAuthor {
    pub id: String,
    pub role: FeedbackRole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeedbackRole {
    Coach,
    Mentor,
}

impl TypedEvent for FeedbackGiven {
    const NAME: &'static str = "session:feedback";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = &["session"];
}
