//! What users may, and when that changes.

use std::collections::BTreeMap;

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sportscenter::fields::Uuid;

/// A user's limits follow how the platform does.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct AdaptiveLimit {
    pub user_id: Uuid,
    pub metrics: AdaptiveMetrics,
    pub adjustments: Vec<Adjustment>,
    pub duration: f64,
}

impl TypedEvent for AdaptiveLimit {
    const NAME: &'static str = "ratelimit/adaptive-limit";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct AdaptiveMetrics {
    pub error_rate: f64,
    pub latency: f64,
    pub success_rate: f64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct Adjustment {
    pub metric: String,
    pub old_value: f64,
    pub new_value: f64,
    pub reason: String,
}

/// A user's limits follow how the user behaves.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct FairUsage {
    pub user_id: Uuid,
    pub usage_pattern: UsagePattern,
    pub adjustments: FairLimits,
}

impl TypedEvent for FairUsage {
    const NAME: &'static str = "ratelimit/fair-usage";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct UsagePattern {
    pub peak_times: Vec<String>,
    pub high_usage_days: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct FairLimits {
    pub peak_limit: u64,
    pub off_peak_limit: u64,
    pub burst_allowance: f64,
}

/// What a user's plan allows.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct TierLimits {
    pub user_id: Uuid,
    pub tier: Tier,
    pub limits: Limits,
    pub upgrade_path: UpgradePath,
}

impl TypedEvent for TierLimits {
    const NAME: &'static str = "ratelimit/tier-limits";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    Free,
    Premium,
    Enterprise,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct Limits {
    pub connections: u64,
    pub messages_per_minute: u64,
    pub bandwidth: u64,
    pub features: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct UpgradePath {
    pub next_tier: String,
    pub benefits: Vec<String>,
}

/// What a group has used of what its members share. No client gets it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct GroupShare {
    pub group_id: Uuid,
    pub members: Vec<Uuid>,
    pub shared_quota: SharedQuota,
    pub allocation: Allocation,
}

impl TypedEvent for GroupShare {
    const NAME: &'static str = "ratelimit/group-share";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["ratelimit"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct SharedQuota {
    pub total: u64,
    pub used: u64,
    pub remaining: u64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct Allocation {
    pub r#type: AllocationType,
    pub weights: BTreeMap<String, f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AllocationType {
    Equal,
    Weighted,
    Dynamic,
}
