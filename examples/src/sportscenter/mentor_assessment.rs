//! What mentors find, and what they advise.

use fanfare::Priority;
use fanfare::catalog::{Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sportscenter::fields::Uuid;

/// An assessment is written, published or put away.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "MentorAssessmentStatusChanged")]
#[garde(allow_unvalidated)]
pub struct StatusChanged {
    pub assessment_id: Uuid,
    pub status: AssessmentStatus,
    pub timestamp: Timestamp,
}

impl TypedEvent for StatusChanged {
    const NAME: &'static str = "mentor-assessment/status-changed";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["mentor-assessment"];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AssessmentStatus {
    Draft,
    Published,
    Archived,
}

/// A figure of an assessment is new.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct MetricUpdated {
    pub assessment_id: Uuid,
    pub metric: AssessmentMetric,
}

impl TypedEvent for MetricUpdated {
    const NAME: &'static str = "mentor-assessment/metric-updated";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["mentor-assessment"];
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct AssessmentMetric {
    pub name: String,
    pub value: f64,
    pub benchmark: f64,
}

/// The plan that follows from an assessment is new.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct PlanUpdated {
    pub assessment_id: Uuid,
    pub plan: DevelopmentPlan,
}

impl TypedEvent for PlanUpdated {
    const NAME: &'static str = "mentor-assessment/plan-updated";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["mentor-assessment"];
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct DevelopmentPlan {
    pub goals: Vec<String>,
    pub action_items: Vec<ActionItem>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct ActionItem {
    pub description: String,
    pub priority: ActionPriority,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActionPriority {
    High,
    Medium,
    Low,
}
