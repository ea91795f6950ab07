//! What goes on in the community.

use fanfare::Priority;
use fanfare::catalog::TypedEvent;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A user posted, commented or reacted. For every user, whatever its roles.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "CommunityActivity")]
#[garde(allow_unvalidated)]
pub struct Activity {
    pub r#type: ActivityType,
    pub timestamp: String,
    pub content: ActivityContent,
    pub user: Member,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActivityType {
    Post,
    Comment,
    Reaction,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct ActivityContent {
    pub id: String,
    pub r#type: String,
    pub data: Value,
}

/// The user who did it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct Member {
    pub id: String,
    pub role: String,
}

impl TypedEvent for Activity {
    const NAME: &'static str = "community:activity";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["community"];
}
