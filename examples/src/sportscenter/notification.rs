//! Notifications.

use fanfare::Priority;
use fanfare::catalog::TypedEvent;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::not_null;

/// The platform has something to say: to everyone, or to the user whose channel the publisher names.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "NotificationNew")]
#[garde(allow_unvalidated)]
pub struct New {
    pub id: String,
    pub timestamp: String,
    pub r#type: NotificationType,
    pub title: String,
    pub message: String,
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub action: Option<NotificationAction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NotificationType {
    Alert,
    Info,
    Success,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct NotificationAction {
    pub r#type: String,
    pub payload: Value,
}

impl TypedEvent for New {
    const NAME: &'static str = "notification:new";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = &["notification", "user.{user_id}"];
}
