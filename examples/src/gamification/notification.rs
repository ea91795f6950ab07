//! Notifications.

use fanfare::catalog::{EnvelopeFields, TypedEvent, present};
use fanfare::{Priority, Retry};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{event, fits_channel};

/// What a user is told.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    #[garde(length(min = 1))]
    pub notification_id: String,
    #[garde(custom(fits_channel))]
    #[schemars(regex(pattern = "^[A-Za-z0-9_:-]{1,250}$"))]
    pub user_id: String,
    #[garde(skip)]
    pub title: String,
    #[garde(skip)]
    pub message: String,
    #[garde(skip)]
    pub r#type: String,
    #[serde(default, deserialize_with = "present")]
    #[garde(skip)]
    #[schemars(with = "Map<String, Value>")]
    pub metadata: Option<Map<String, Value>>,
}

impl Notification {
    fn user(&self) -> Option<&str> {
        Some(&self.user_id)
    }
}

event! {
    /// A user is told something.
    Created(Notification) as "NotificationCreated", "notification.created", High
}

event! {
    /// A user has read it, on whichever device.
    Read(Notification) as "NotificationRead", "notification.read", Medium
}

event! {
    /// A user has put it away.
    Archived(Notification) as "NotificationArchived", "notification.archived", Medium
}
