//! Private messages.

use std::time::SystemTime;

use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use fanfare::{Guarantee, Priority};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Someone wrote to someone. The recipient is the channel's.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct MessageSent {
    #[garde(dive)]
    pub message: Message,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct Message {
    #[garde(range(min = 1))]
    pub id: u64,
    #[garde(range(min = 1))]
    pub conversation_id: u64,
    #[garde(skip)]
    pub content: String,
    #[garde(dive)]
    pub sender: Sender,
    #[garde(skip)]
    pub created_at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct Sender {
    #[garde(range(min = 1))]
    pub id: u64,
    #[garde(skip)]
    pub name: String,
    #[garde(skip)]
    pub avatar_url: String,
}

impl TypedEvent for MessageSent {
    const NAME: &'static str = "messaging.message.sent";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] =
        &["user.{recipient_id}", "user.{recipient_id}.messages"];
}

/// Someone is writing in a conversation.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "MessagingTypingStarted")]
pub struct TypingStarted {
    #[garde(range(min = 1))]
    pub user_id: u64,
    #[garde(range(min = 1))]
    pub conversation_id: u64,
    #[garde(skip)]
    pub expires_at: Timestamp,
}

impl TypedEvent for TypingStarted {
    const NAME: &'static str = "messaging.typing.started";
    const PRIORITY: Priority = Priority::High;
    const GUARANTEE: Guarantee = Guarantee::Ephemeral;
    const CHANNELS: &'static [&'static str] = &["conversation.{conversation_id}"];
    const FROM_CLIENTS: bool = true;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.conversation_id.to_string())
    }

    /// As in a thread: the newest is enough.
    fn conflation_key(&self) -> Option<String> {
        Some(format!("{} {}", Self::NAME, self.user_id))
    }

    fn expires_at(&self) -> Option<SystemTime> {
        Some(self.expires_at.system_time())
    }

    fn author(&self) -> Option<String> {
        Some(self.user_id.to_string())
    }
}
