//! The forum: comments, reactions, typing, views.

use std::num::NonZeroU64;
use std::time::SystemTime;

use fanfare::catalog::{EnvelopeFields, Nullable, Timestamp, TypedEvent, nullable};
use fanfare::{Guarantee, Priority};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Person;

/// Someone commented on a thread.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct CommentCreated {
    #[garde(dive)]
    pub comment: Comment,
    #[garde(dive)]
    pub thread: Thread,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct Comment {
    #[garde(range(min = 1))]
    pub id: u64,
    #[garde(skip)]
    pub content: String,
    /// The comment that this one answers.
    #[serde(deserialize_with = "nullable")]
    #[schemars(with = "Nullable<NonZeroU64>")]
    #[garde(inner(range(min = 1)))]
    pub parent_id: Option<u64>,
    #[garde(dive)]
    pub user: Author,
    #[garde(skip)]
    pub created_at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct Author {
    #[garde(range(min = 1))]
    pub id: u64,
    #[garde(skip)]
    pub name: String,
    #[garde(skip)]
    pub username: String,
    #[garde(skip)]
    pub avatar_url: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct Thread {
    #[garde(range(min = 1))]
    pub id: u64,
    #[garde(skip)]
    pub title: String,
    #[garde(skip)]
    pub reply_count: u64,
}

impl TypedEvent for CommentCreated {
    const NAME: &'static str = "forum.comment.created";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["thread.{thread_id}"];

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.thread.id.to_string())
    }
}

/// Someone changed a comment. The thread is the channel's.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct CommentUpdated {
    #[garde(range(min = 1))]
    pub comment_id: u64,
    #[garde(skip)]
    pub content: String,
    #[garde(skip)]
    pub edited_at: Timestamp,
    #[garde(skip)]
    pub edit_reason: String,
}

impl TypedEvent for CommentUpdated {
    const NAME: &'static str = "forum.comment.updated";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["thread.{thread_id}"];
}

/// Someone reacted to a comment. The thread is the channel's.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct ReactionAdded {
    #[garde(range(min = 1))]
    pub comment_id: u64,
    #[garde(skip)]
    pub reaction_type: String,
    #[garde(range(min = 1))]
    pub user_id: u64,
    #[garde(skip)]
    pub new_count: u64,
}

impl TypedEvent for ReactionAdded {
    const NAME: &'static str = "forum.reaction.added";
    const PRIORITY: Priority = Priority::Low;
    const CHANNELS: &'static [&'static str] = &["thread.{thread_id}"];
}

/// Someone is writing a comment. The thread is the channel's.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
pub struct TypingStarted {
    #[garde(dive)]
    pub user: Person,
    #[garde(skip)]
    pub expires_at: Timestamp,
}

impl TypedEvent for TypingStarted {
    const NAME: &'static str = "forum.typing.started";
    const PRIORITY: Priority = Priority::High;
    const GUARANTEE: Guarantee = Guarantee::Ephemeral;
    const CHANNELS: &'static [&'static str] = &["thread.{thread_id}"];
    const FROM_CLIENTS: bool = true;

    /// One who is still writing makes the news of a moment ago superfluous.
    fn conflation_key(&self) -> Option<String> {
        Some(format!("{} {}", Self::NAME, self.user.id))
    }

    fn expires_at(&self) -> Option<SystemTime> {
        Some(self.expires_at.system_time())
    }

    fn author(&self) -> Option<String> {
        Some(self.user.id.to_string())
    }
}

/// A thread was looked at. The platform's document gives no payload.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
pub struct ViewCountUpdated(#[garde(skip)] pub Map<String, Value>);

impl TypedEvent for ViewCountUpdated {
    const NAME: &'static str = "forum.thread.view_count_updated";
    const PRIORITY: Priority = Priority::Low;
    const CHANNELS: &'static [&'static str] = &[];

    /// The newest count of a thread is all that anyone wants. Without an id in the data the channel
    /// is the thread's own.
    fn conflation_key(&self) -> Option<String> {
        let thread = self
            .0
            .get("thread_id")
            .or_else(|| self.0.get("thread")?.get("id"));
        Some(thread.map(Value::to_string).unwrap_or_default())
    }
}
