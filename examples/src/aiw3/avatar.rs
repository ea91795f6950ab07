//! Avatars, which come with NFTs. Best-effort, all of them.

use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use fanfare::{Guarantee, Priority};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TO_USER;
use super::fields::{Id, user_id};
use super::topics::OPERATIONS;

/// A user took another avatar.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "AvatarChanged")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Changed {
    pub previous_avatar: Avatar,
    pub new_avatar: Avatar,
    pub changed_at: Timestamp,
    pub change_reason: String,
    pub is_automatic: bool,
}

/// A picture that stands for a user.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Avatar {
    pub r#type: String,
    pub nft_id: Id,
    pub nft_level: u64,
    pub nft_name: String,
    pub avatar_url: String,
}

impl TypedEvent for Changed {
    const NAME: &'static str = "avatar_changed";
    const FAMILY: &'static str = "avatar";
    const PRIORITY: Priority = Priority::Low;
    const GUARANTEE: Guarantee = Guarantee::BestEffort;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// A user may take one avatar more.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "NftAvatarUnlocked")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Unlocked {
    pub nft_id: Id,
    pub nft_level: u64,
    pub nft_name: String,
    pub avatar_url: String,
    pub thumbnail_url: String,
    pub rarity: String,
    pub unlocked_at: Timestamp,
    pub trigger_event: String,
    pub is_new_highest_tier: bool,
    pub total_avatars_unlocked: u64,
    pub available_avatars: Vec<AvailableAvatar>,
}

/// An avatar that a user may take.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AvailableAvatar {
    pub nft_id: Id,
    pub nft_level: u64,
    pub nft_name: String,
}

impl TypedEvent for Unlocked {
    const NAME: &'static str = "nft_avatar_unlocked";
    const FAMILY: &'static str = "avatar";
    const PRIORITY: Priority = Priority::Medium;
    const GUARANTEE: Guarantee = Guarantee::BestEffort;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}
