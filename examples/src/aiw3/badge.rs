//! Badges, which count towards NFTs. Best-effort, all of them.

use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use fanfare::{Guarantee, Priority};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TO_USER;
use super::fields::{Id, two_decimals, user_id};
use super::topics::{NOTIFICATIONS, OPERATIONS, USER_EVENTS};

/// How few have a badge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rarity {
    Common,
    Uncommon,
    Rare,
    Epic,
    Legendary,
}

/// A user did what a badge takes.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "BadgeEarned")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Earned {
    pub badge_id: Id,
    #[garde(length(chars, min = 1, max = 100))]
    pub badge_name: String,
    #[garde(length(chars, min = 1, max = 500))]
    pub badge_description: String,
    #[garde(url)]
    pub icon_url: String,
    pub category: String,
    pub rarity: Rarity,
    #[garde(range(min = 0.0, max = 100.0), custom(two_decimals))]
    #[schemars(extend("multipleOf" = 0.01))]
    pub contribution_value: f64,
    #[garde(range(min = 0.1, max = 10.0))]
    pub contribution_weight: f64,
    pub earned_at: Timestamp,
    pub requirements: Vec<MetRequirement>,
    pub rewards: Rewards,
    pub next_badge_in_series: NextBadge,
}

/// What was done for a badge.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct MetRequirement {
    pub r#type: String,
    pub description: String,
    pub target: f64,
    pub current: f64,
    pub completed: bool,
}

/// What a badge brings.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rewards {
    pub nft_progress_contribution: f64,
    pub experience_points: u64,
    pub title: String,
}

/// The badge after this one.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NextBadge {
    pub badge_id: Id,
    pub badge_name: String,
    pub requirements: Vec<Requirement>,
}

/// What is to be done for a badge.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Requirement {
    pub r#type: String,
    pub description: String,
    pub target: f64,
    pub current: f64,
}

impl TypedEvent for Earned {
    const NAME: &'static str = "badge_earned";
    const FAMILY: &'static str = "badge";
    const PRIORITY: Priority = Priority::Medium;
    const GUARANTEE: Guarantee = Guarantee::BestEffort;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[USER_EVENTS, NOTIFICATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// A badge counts from now on.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "BadgeActivated")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Activated {
    pub badge_id: Id,
    pub badge_name: String,
    pub activated_at: Timestamp,
    pub contribution_value: f64,
    pub previous_total_contribution: f64,
    pub new_total_contribution: f64,
    pub contribution_change: f64,
    pub affected_nft_levels: Vec<AffectedLevel>,
    pub total_active_badges: u64,
    pub max_active_badges: u64,
}

/// A level that a badge brings closer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AffectedLevel {
    pub nft_level: u64,
    pub nft_name: String,
    pub old_progress: f64,
    pub new_progress: f64,
    pub progress_change: f64,
    pub requirements_met: bool,
}

impl TypedEvent for Activated {
    const NAME: &'static str = "badge_activated";
    const FAMILY: &'static str = "badge";
    const PRIORITY: Priority = Priority::Low;
    const GUARANTEE: Guarantee = Guarantee::BestEffort;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// A user's way to a badge has become shorter. The last three fields are known from the client's handler
/// alone.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[schemars(rename = "BadgeProgressUpdate")]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct ProgressUpdate {
    pub badge_id: Id,
    pub badge_name: String,
    pub category: String,
    pub rarity: Rarity,
    pub requirements: Vec<OpenRequirement>,
    pub overall_progress: f64,
    pub progress_change: f64,
    pub estimated_completion_time: Timestamp,
    pub milestone_reached: bool,
    pub next_milestone: NextMilestone,
    pub is_close_to_completion: bool,
    pub completion_threshold: f64,
    pub progress_percentage: Option<f64>,
    pub current_progress: Option<f64>,
    pub target_progress: Option<f64>,
}

/// How far a user is with what is to be done.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenRequirement {
    pub r#type: String,
    pub description: String,
    pub target: f64,
    pub current: f64,
    pub previous: f64,
    pub change: f64,
    pub progress_percentage: f64,
    pub completed: bool,
}

/// The next mark on the way to a badge.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "BadgeMilestone")]
pub struct NextMilestone {
    pub target: f64,
    pub remaining: f64,
    pub description: String,
}

impl TypedEvent for ProgressUpdate {
    const NAME: &'static str = "badge_progress_update";
    const FAMILY: &'static str = "badge";
    const PRIORITY: Priority = Priority::Low;
    const GUARANTEE: Guarantee = Guarantee::BestEffort;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}
