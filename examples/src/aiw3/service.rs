//! What the NFT service says, in the architecture document's envelope.
//!
//! The topics that an event goes to say who gets it: the user where it is on the topic of user events or
//! of notifications, else admins where it is on the topic of operations, else no client at all.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TO_USER;
use super::fields::{Anything, Id, user_id};
use super::topics::{ANALYTICS, NOTIFICATIONS, OPERATIONS, USER_EVENTS};

/// Where admins look.
const TO_ADMINS: &[&str] = &["admin.nft"];

/// Where the document says so, a family of its own.
const FAMILY: &str = "nft-service";

/// A user claimed an NFT.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "ServiceNftUnlocked")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct NftUnlocked {
    pub nft_id: Id,
    pub tier_name: String,
    pub tier_id: u64,
    pub mint_address: String,
    pub image_url: String,
    pub benefits: TierBenefits,
}

/// What a tier is good for.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TierBenefits {
    /// In percent: `15%`.
    pub trading_fee_reduction: String,
    pub ai_agent_weekly_uses: u64,
    pub priority_support: bool,
}

impl TypedEvent for NftUnlocked {
    const NAME: &'static str = "nft_unlocked";
    const FAMILY: &'static str = FAMILY;
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[USER_EVENTS, ANALYTICS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// An NFT was burned and a better one minted in its place.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct NftUpgraded {
    pub old_nft: BurnedNft,
    pub new_nft: NewNft,
    pub consumed_badges: Vec<String>,
}

/// The NFT that is no more.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BurnedNft {
    pub nft_id: Id,
    pub tier_name: String,
    pub burned_at: Timestamp,
}

/// The one in its place.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewNft {
    pub nft_id: Id,
    pub tier_name: String,
    pub tier_id: u64,
    pub mint_address: String,
    pub transaction_signature: String,
}

impl TypedEvent for NftUpgraded {
    const NAME: &'static str = "nft_upgraded";
    const FAMILY: &'static str = FAMILY;
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[USER_EVENTS, OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// A user did what a badge takes.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "ServiceBadgeEarned")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct BadgeEarned {
    pub badge_id: Id,
    pub badge_name: String,
    pub description: String,
    pub image_url: String,
    pub earned_at: Timestamp,
    pub required_for_tier: u64,
}

impl TypedEvent for BadgeEarned {
    const NAME: &'static str = "badge_earned";
    const FAMILY: &'static str = FAMILY;
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[USER_EVENTS, NOTIFICATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// An NFT came into being.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct NftMinted {
    pub nft_id: Id,
    pub mint_address: String,
    pub transaction_signature: String,
    pub metadata_uri: String,
    pub gas_used: f64,
}

impl TypedEvent for NftMinted {
    const NAME: &'static str = "nft_minted";
    const FAMILY: &'static str = FAMILY;
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_ADMINS;
    const TOPICS: &'static [&'static str] = &[OPERATIONS, ANALYTICS];
}

/// An NFT ceased to be. The platform's document gives no payload.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
pub struct NftBurned(#[garde(skip)] pub Anything);

impl TypedEvent for NftBurned {
    const NAME: &'static str = "nft_burned";
    const FAMILY: &'static str = FAMILY;
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_ADMINS;
    const TOPICS: &'static [&'static str] = &[OPERATIONS, ANALYTICS];
}

/// An NFT could not be claimed.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct NftUnlockFailed {
    pub error: String,
    pub nft_definition_id: DefinitionId,
}

/// What stands for a kind of NFT. The document does not say which of them it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DefinitionId {
    /// A number of the database's.
    Number(u64),
    /// A name.
    Text(Id),
}

impl TypedEvent for NftUnlockFailed {
    const NAME: &'static str = "nft_unlock_failed";
    const FAMILY: &'static str = FAMILY;
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_ADMINS;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];
}

/// A user's volume of trading passed a mark: see [`milestones`](super::milestones).
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct VolumeMilestoneReached {
    /// USDT, as are the next two.
    pub previous_volume: f64,
    pub current_volume: f64,
    pub milestone: f64,
    pub tier_unlocked: u64,
}

impl TypedEvent for VolumeMilestoneReached {
    const NAME: &'static str = "volume_milestone_reached";
    const FAMILY: &'static str = FAMILY;
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = &[];
    const TOPICS: &'static [&'static str] = &[ANALYTICS];

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

/// The tiers that a user qualifies for are others now.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct TierQualificationChanged {
    pub previous_qualifications: Vec<u64>,
    pub current_qualifications: Vec<u64>,
    pub volume_change: f64,
    pub badge_changes: BadgeChanges,
}

/// What became of a user's badges.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct BadgeChanges {
    pub earned: Vec<String>,
    pub activated: Vec<String>,
    pub consumed: Vec<String>,
}

impl TypedEvent for TierQualificationChanged {
    const NAME: &'static str = "tier_qualification_changed";
    const FAMILY: &'static str = FAMILY;
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[ANALYTICS, USER_EVENTS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}
