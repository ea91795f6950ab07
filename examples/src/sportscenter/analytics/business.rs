//! What the platform sells, and what of it is used.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A subscription began, changed or ended. No client gets it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct SubscriptionMetric {
    pub metric_type: SubscriptionChange,
    pub plan_type: Plan,
    pub user_segment: SubscriberSegment,
    pub value: f64,
    pub context: SubscriptionContext,
    pub timestamp: Timestamp,
}

impl TypedEvent for SubscriptionMetric {
    const NAME: &'static str = "analytics/subscription-metric";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["analytics"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubscriptionChange {
    New,
    Renewal,
    Churn,
    Upgrade,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Plan {
    Basic,
    Premium,
    Team,
    Enterprise,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubscriberSegment {
    Athlete,
    Coach,
    Organization,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct SubscriptionContext {
    pub previous_plan: String,
    pub subscription_length: u64,
    pub discount_applied: f64,
}

/// How a feature is used. No client gets it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct FeatureUsage {
    pub feature_id: String,
    pub user_segment: UserSegment,
    pub usage_metrics: FeatureMetrics,
    pub user_feedback: FeatureFeedback,
    pub timestamp: Timestamp,
}

impl TypedEvent for FeatureUsage {
    const NAME: &'static str = "analytics/feature-usage";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["analytics"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UserSegment {
    Athlete,
    Coach,
    Mentor,
    Parent,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct FeatureMetrics {
    pub access_count: u64,
    pub average_duration: f64,
    pub success_rate: f64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct FeatureFeedback {
    pub satisfaction: f64,
    pub difficulty: f64,
    pub usefulness: f64,
}
