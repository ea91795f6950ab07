//! Messages from one user to another. Both get them.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::UserId;

const CHANNELS: &[&str] = &["user.{user_id}"];

/// A user wrote to another.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
#[schemars(rename = "MessageNew")]
#[garde(allow_unvalidated)]
pub struct New(pub Message);

/// A user changed what it wrote.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
#[schemars(rename = "MessageUpdated")]
#[garde(allow_unvalidated)]
pub struct Updated(pub Message);

/// A user took back what it wrote.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
#[schemars(rename = "MessageDeleted")]
#[garde(allow_unvalidated)]
pub struct Deleted(pub Message);

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Message {
    pub message_id: String,
    pub timestamp: String,
    pub from: Party,
    pub to: Party,
    pub content: String,
    pub r#type: MessageType,
}

/// One of the two users of a message.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct Party {
    pub id: UserId,
    pub role: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MessageType {
    Text,
    Image,
    Video,
}

impl Message {
    /// The channels of its two users.
    fn channels(&self) -> Vec<String> {
        let parties = [&self.from, &self.to];
        parties.map(|party| format!("user.{}", party.id)).to_vec()
    }
}

impl TypedEvent for New {
    const NAME: &'static str = "message:new";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = CHANNELS;

    fn channels(&self, _envelope: &EnvelopeFields<'_>) -> Vec<String> {
        self.0.channels()
    }
}

impl TypedEvent for Updated {
    const NAME: &'static str = "message:updated";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = CHANNELS;

    fn channels(&self, _envelope: &EnvelopeFields<'_>) -> Vec<String> {
        self.0.channels()
    }
}

impl TypedEvent for Deleted {
    const NAME: &'static str = "message:deleted";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = CHANNELS;

    fn channels(&self, _envelope: &EnvelopeFields<'_>) -> Vec<String> {
        self.0.channels()
    }
}
