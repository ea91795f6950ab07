//! Competitions of traders.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TO_USER;
use super::fields::{Id, user_id};
use super::nft::Benefits;
use super::topics::OPERATIONS;

/// A competition is open.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "CompetitionStarted")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Started {
    pub competition_id: String,
    pub competition_name: String,
    pub description: String,
    pub start_date: Timestamp,
    pub end_date: Timestamp,
    pub registration_deadline: Timestamp,
    pub total_prize_pool: f64,
    pub currency: String,
    pub participant_limit: u64,
    pub current_participants: u64,
    pub eligibility_requirements: Eligibility,
    pub prize_structure: Vec<Prize>,
    pub rules: Vec<String>,
}

/// Who may take part.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Eligibility {
    pub minimum_trading_volume: f64,
    pub account_age_minimum_days: u64,
    pub kyc_required: bool,
}

/// What the traders of some ranks get.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prize {
    /// The first and the last rank: `2-10`.
    pub rank_range: String,
    pub prize_amount: f64,
    pub nft_reward: PrizeNft,
}

/// The NFT that goes with a prize.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrizeNft {
    pub name: String,
    pub rarity: String,
    pub image_url: String,
}

impl TypedEvent for Started {
    const NAME: &'static str = "competition_started";
    const FAMILY: &'static str = "competition";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// A user has won an NFT.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "CompetitionNftAwarded")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct NftAwarded {
    pub competition_id: String,
    pub competition_name: String,
    pub final_rank: u64,
    pub total_participants: u64,
    pub percentile: f64,
    pub final_trading_volume: f64,
    pub prize_amount: f64,
    pub nft_reward: AwardedNft,
    pub awarded_at: Timestamp,
    pub transaction_hash: String,
    pub competition_stats: FinalStats,
}

/// The NFT that was won.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwardedNft {
    pub nft_id: Id,
    pub name: String,
    pub description: String,
    pub rarity: String,
    pub image_url: String,
    pub token_id: String,
    pub mint_address: String,
    pub estimated_value: f64,
    pub benefits: Benefits,
}

/// A competition at its end.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FinalStats {
    pub duration: String,
    pub total_volume: f64,
    pub average_volume: f64,
    pub top_volume: f64,
}

impl TypedEvent for NftAwarded {
    const NAME: &'static str = "competition_nft_awarded";
    const FAMILY: &'static str = "competition";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// A user's rank moved. Producers announce moves of five places and more: see
/// [`RankTracker`](super::ranks::RankTracker).
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct RankChanged {
    pub competition_id: String,
    pub competition_name: String,
    pub old_rank: u64,
    pub new_rank: u64,
    pub rank_change: i64,
    /// `up` or `down`.
    pub direction: String,
    pub current_trading_volume: f64,
    pub volume_change: f64,
    pub percentile: f64,
    pub percentile_change: f64,
    pub distance_to_next_rank: Distance,
    pub distance_to_prize_rank: Distance,
    pub time_remaining: String,
    pub projected_final_rank: u64,
    pub projected_final_volume: f64,
}

/// What is missing to another rank.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Distance {
    pub rank: u64,
    pub volume_gap: f64,
    pub percentage_gap: f64,
}

impl TypedEvent for RankChanged {
    const NAME: &'static str = "rank_changed";
    const FAMILY: &'static str = "competition";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// The leaderboard as a user sees it, every five minutes while a competition runs.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct LeaderboardUpdate {
    pub competition_id: String,
    pub user_rank: UserRank,
    pub top_ranks: Vec<Ranked>,
    pub nearby_ranks: Vec<Ranked>,
    pub competition_stats: RunningStats,
    /// Known from the client's handler alone.
    pub user_rank_change: Option<i64>,
}

/// Where the user stands.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserRank {
    pub rank: u64,
    pub trading_volume: f64,
    pub percentile: f64,
    pub rank_change: i64,
    pub volume_change: f64,
}

/// Where another one stands.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ranked {
    pub rank: u64,
    pub user_id: u64,
    pub nickname: String,
    pub trading_volume: f64,
    pub volume_change: f64,
}

/// A competition under way.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunningStats {
    pub total_participants: u64,
    pub total_volume: f64,
    pub average_volume: f64,
    pub median_volume: f64,
    pub time_remaining: String,
}

impl TypedEvent for LeaderboardUpdate {
    const NAME: &'static str = "leaderboard_update";
    const FAMILY: &'static str = "competition";
    const PRIORITY: Priority = Priority::Low;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// A competition is over. The platform's document gives no payload; the fields are those that its
/// client's handler reads.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "CompetitionEnded")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Ended {
    pub competition_id: Option<String>,
    pub competition_name: Option<String>,
}

impl TypedEvent for Ended {
    const NAME: &'static str = "competition_ended";
    const FAMILY: &'static str = "competition";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}
