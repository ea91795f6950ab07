//! NFTs, and the volume of trading that earns them.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Nullable, Timestamp, TypedEvent, nullable};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TO_USER;
use super::fields::{Id, base58, two_decimals, user_id};
use super::topics::{ANALYTICS, OPERATIONS, USER_EVENTS};

/// What an NFT is good for. The first and the third stand in every sample.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Benefits {
    pub trading_fee_discount: f64,
    pub ai_agent_uses: Option<u64>,
    pub exclusive_access: Vec<String>,
    pub staking_bonus: Option<f64>,
    pub priority_support: Option<bool>,
}

/// A user claimed an NFT, and it has been minted.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "NftUnlocked")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Unlocked {
    pub nft_id: Id,
    #[garde(range(min = 1, max = 10))]
    pub nft_level: u8,
    #[garde(length(chars, min = 1, max = 100))]
    pub nft_name: String,
    #[garde(length(chars, min = 1, max = 500))]
    pub nft_description: String,
    #[garde(url)]
    pub image_url: String,
    #[garde(pattern("^[0-9]+$"))]
    pub token_id: String,
    #[garde(custom(base58))]
    #[schemars(extend("pattern" = "^[1-9A-HJ-NP-Za-km-z]+$"))]
    pub mint_address: String,
    #[garde(custom(base58))]
    #[schemars(extend("pattern" = "^[1-9A-HJ-NP-Za-km-z]+$"))]
    pub transaction_hash: String,
    pub benefits: Benefits,
    pub claimed_at: Timestamp,
    #[garde(range(min = 0.0), custom(two_decimals))]
    #[schemars(extend("multipleOf" = 0.01))]
    pub estimated_value: f64,
}

impl TypedEvent for Unlocked {
    const NAME: &'static str = "nft_unlocked";
    const FAMILY: &'static str = "nft";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[USER_EVENTS, ANALYTICS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// An NFT was burned and a better one minted in its place.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "NftUpgradeCompleted")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct UpgradeCompleted {
    pub old_nft_id: Id,
    pub old_nft_level: u64,
    pub old_nft_name: String,
    pub new_nft_id: Id,
    pub new_nft_level: u64,
    pub new_nft_name: String,
    pub new_image_url: String,
    pub new_token_id: String,
    pub new_mint_address: String,
    pub burn_transaction_hash: String,
    pub mint_transaction_hash: String,
    pub upgraded_at: Timestamp,
    pub new_benefits: Benefits,
    pub upgrade_value: f64,
}

impl TypedEvent for UpgradeCompleted {
    const NAME: &'static str = "nft_upgrade_completed";
    const FAMILY: &'static str = "nft";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// An NFT's benefits hold from now on.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "NftBenefitsActivated")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct BenefitsActivated {
    pub nft_id: Id,
    pub nft_level: u64,
    pub nft_name: String,
    pub activated_benefits: Benefits,
    pub previous_active_nft: DeactivatedNft,
    pub activated_at: Timestamp,
    /// None where they hold for good.
    #[serde(deserialize_with = "nullable")]
    #[schemars(with = "Nullable<Timestamp>")]
    pub benefits_expiry_date: Option<Timestamp>,
}

/// The NFT whose benefits held before.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeactivatedNft {
    pub nft_id: Id,
    pub nft_level: u64,
    pub deactivated_at: Timestamp,
}

impl TypedEvent for BenefitsActivated {
    const NAME: &'static str = "nft_benefits_activated";
    const FAMILY: &'static str = "nft";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// A user's way to the next NFT has become shorter, or longer.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "NftProgressUpdate")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct ProgressUpdate {
    pub nft_level: u64,
    pub nft_name: String,
    pub trading_volume_required: f64,
    pub trading_volume_current: f64,
    pub trading_volume_progress: f64,
    pub trading_volume_change: f64,
    pub badges_required: u64,
    pub badges_owned: u64,
    pub badge_progress: f64,
    pub overall_progress: f64,
    pub progress_change: f64,
    pub estimated_time_to_completion: Timestamp,
    pub milestone_reached: bool,
    pub next_milestone: NextMilestone,
}

/// The next mark on the way.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "NftMilestone")]
pub struct NextMilestone {
    pub r#type: String,
    pub target: f64,
    pub remaining: f64,
}

impl TypedEvent for ProgressUpdate {
    const NAME: &'static str = "nft_progress_update";
    const FAMILY: &'static str = "nft";
    const PRIORITY: Priority = Priority::Low;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// A user has what the next level takes. The platform's document gives no payload; the fields are those
/// that its client's handler reads.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "NftUpgradeAvailable")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct UpgradeAvailable {
    pub nft_id: Option<Id>,
    pub target_level: Option<u64>,
    pub requirements: Option<Value>,
}

impl TypedEvent for UpgradeAvailable {
    const NAME: &'static str = "nft_upgrade_available";
    const FAMILY: &'static str = "nft";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// A user's volume of trading passed a mark. The platform's document gives no payload; the fields are
/// those that its client's handler reads.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct TradingMilestoneReached {
    /// USDT, as are the others.
    pub milestone: Option<f64>,
    pub current_volume: Option<f64>,
    pub next_milestone: Option<f64>,
}

impl TypedEvent for TradingMilestoneReached {
    const NAME: &'static str = "trading_milestone_reached";
    const FAMILY: &'static str = "trading";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}
