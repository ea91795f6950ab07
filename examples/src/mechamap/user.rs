//! What users do, for those who follow them.

use fanfare::Priority;
use fanfare::catalog::{Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AnyObject;

/// The channels of one follower: the document knows both.
const FOLLOWER: &[&str] = &["following.{follower_id}", "user.{follower_id}.following"];

/// A user came or went. The follower is the channel's.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct StatusChanged {
    #[garde(range(min = 1))]
    pub user_id: u64,
    #[garde(skip)]
    pub status: String,
    #[garde(skip)]
    pub last_seen_at: Timestamp,
    #[garde(skip)]
    pub activity: String,
}

impl TypedEvent for StatusChanged {
    const NAME: &'static str = "user.status.changed";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = FOLLOWER;
}

/// A user came. The platform's document gives no payload.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
pub struct WentOnline(#[garde(dive)] pub AnyObject);

impl TypedEvent for WentOnline {
    const NAME: &'static str = "user.status.online";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = &[];
}

/// A user did something. The follower is the channel's.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct ActivityFeedUpdated {
    #[garde(dive)]
    pub activity: Activity,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct Activity {
    #[serde(rename = "type")]
    #[garde(skip)]
    pub kind: String,
    #[garde(range(min = 1))]
    pub user_id: u64,
    #[garde(range(min = 1))]
    pub content_id: u64,
    #[garde(skip)]
    pub content_title: String,
    #[garde(skip)]
    pub created_at: Timestamp,
}

impl TypedEvent for ActivityFeedUpdated {
    const NAME: &'static str = "user.activity.feed_updated";
    const PRIORITY: Priority = Priority::Low;
    const CHANNELS: &'static [&'static str] = FOLLOWER;
}
