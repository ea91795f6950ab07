//! What users write to each other.

use fanfare::catalog::{EnvelopeFields, TypedEvent};
use fanfare::{Guarantee, Priority};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::{Anything, user_id};
use super::topics::OPERATIONS;

/// A message. The one event that clients may publish, to a room; the backend's go to the user or, where the
/// envelope names one, to a room. The platform's document gives no payload.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "ChatMessage")]
#[serde(transparent)]
pub struct Message(#[garde(skip)] pub Anything);

impl TypedEvent for Message {
    const NAME: &'static str = "chat_message";
    const FAMILY: &'static str = "user";
    const PRIORITY: Priority = Priority::Low;
    const GUARANTEE: Guarantee = Guarantee::BestEffort;
    const CHANNELS: &'static [&'static str] = &["user.{userId}", "room.{roomId}"];
    const TOPICS: &'static [&'static str] = &[OPERATIONS];
    const FROM_CLIENTS: bool = true;

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        let channel = envelope.json("channel");
        let channel = channel.and_then(|json| serde_json::from_str::<String>(json).ok());
        match channel
            .as_deref()
            .and_then(|channel| channel.strip_prefix("room."))
        {
            Some(room) => Some(room.to_owned()),
            None => user_id(envelope),
        }
    }
}
