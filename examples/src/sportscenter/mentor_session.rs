//! Sessions of mentors with those whom they guide.

use fanfare::Priority;
use fanfare::catalog::{Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sportscenter::fields::Uuid;

/// A session with a mentor begins or ends.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "MentorSessionStatusChanged")]
#[garde(allow_unvalidated)]
pub struct StatusChanged {
    pub session_id: Uuid,
    pub status: SessionStatus,
    pub timestamp: Timestamp,
}

impl TypedEvent for StatusChanged {
    const NAME: &'static str = "mentor-session/status-changed";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["mentor-session"];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SessionStatus {
    InProgress,
    Completed,
    Cancelled,
}

/// Someone writes something down in a running session.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct NoteAdded {
    pub session_id: Uuid,
    pub note: Note,
}

impl TypedEvent for NoteAdded {
    const NAME: &'static str = "mentor-session/note-added";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["mentor-session"];
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct Note {
    pub content: String,
    pub category: String,
    pub timestamp: Timestamp,
}

/// One of the two says how the session was.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct FeedbackSubmitted {
    pub session_id: Uuid,
    pub feedback_type: FeedbackBy,
    pub feedback: Feedback,
}

impl TypedEvent for FeedbackSubmitted {
    const NAME: &'static str = "mentor-session/feedback-submitted";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["mentor-session"];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FeedbackBy {
    Athlete,
    Mentor,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct Feedback {
    pub rating: f64,
    pub comments: String,
}
