//! Notifications.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AnyObject;

/// A user is notified. The envelope's `user_id` says who.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "NotificationSent")]
pub struct Sent {
    #[garde(dive)]
    pub notification: Notification,
    #[garde(skip)]
    pub unread_count: u64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct Notification {
    #[garde(range(min = 1))]
    pub id: u64,
    #[serde(rename = "type")]
    #[garde(skip)]
    pub kind: String,
    #[garde(skip)]
    pub title: String,
    #[garde(skip)]
    pub message: String,
    #[garde(skip)]
    pub icon: String,
    #[garde(skip)]
    pub action_url: String,
    #[garde(skip)]
    pub created_at: Timestamp,
}

impl TypedEvent for Sent {
    const NAME: &'static str = "notification.sent";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        envelope.json("user_id").map(str::to_owned)
    }
}

/// Something threatens an account. The platform's document gives no payload.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
pub struct SecurityAlert(#[garde(dive)] pub AnyObject);

impl TypedEvent for SecurityAlert {
    const NAME: &'static str = "notification.security.alert";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = &[];
}

/// The platform has something to say. The platform's document gives no payload.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
pub struct SystemAnnouncement(#[garde(dive)] pub AnyObject);

impl TypedEvent for SystemAnnouncement {
    const NAME: &'static str = "notification.system.announcement";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &[];
}
