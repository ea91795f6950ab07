//! How athletes perform.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sportscenter::fields::Uuid;

/// A figure of an athlete's performance. It goes to that athlete.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct PerformanceMetric {
    pub athlete_id: Uuid,
    pub metric_type: MetricType,
    pub value: f64,
    pub unit: String,
    pub context: MetricContext,
    pub timestamp: Timestamp,
}

impl TypedEvent for PerformanceMetric {
    const NAME: &'static str = "analytics/performance-metric";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.athlete_id.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MetricType {
    Speed,
    Strength,
    Endurance,
    Technique,
    Accuracy,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct MetricContext {
    pub session_id: Uuid,
    pub exercise_id: Uuid,
    pub equipment_id: Uuid,
}

/// Where a figure of an athlete is going. It goes to that athlete.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct TrendUpdate {
    pub athlete_id: Uuid,
    pub metric_type: String,
    pub period: TrendPeriod,
    pub trend: Trend,
    pub timestamp: Timestamp,
}

impl TypedEvent for TrendUpdate {
    const NAME: &'static str = "analytics/trend-update";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.athlete_id.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TrendPeriod {
    Daily,
    Weekly,
    Monthly,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct Trend {
    pub current_value: f64,
    pub change_percentage: f64,
    pub direction: TrendDirection,
    pub confidence_score: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TrendDirection {
    Up,
    Down,
    Stable,
}

/// An athlete has reached something. It goes to that athlete.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct MilestoneAchieved {
    pub athlete_id: Uuid,
    pub milestone_type: MilestoneType,
    pub details: MilestoneDetails,
    pub achievements: Vec<String>,
    pub timestamp: Timestamp,
}

impl TypedEvent for MilestoneAchieved {
    const NAME: &'static str = "analytics/milestone-achieved";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.athlete_id.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MilestoneType {
    PersonalBest,
    GoalReached,
    Streak,
    LevelUp,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct MilestoneDetails {
    pub metric: String,
    pub value: f64,
    pub previous_best: f64,
}
