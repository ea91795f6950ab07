//! What is measured of athletes.

use fanfare::Priority;
use fanfare::catalog::TypedEvent;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A figure of an athlete was recorded.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "MetricRecorded")]
#[garde(allow_unvalidated)]
pub struct Recorded {
    pub athlete_id: String,
    pub timestamp: String,
    pub r#type: String,
    pub value: f64,
    pub unit: String,
    pub source: MetricSource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MetricSource {
    Manual,
    Device,
    Ai,
}

impl TypedEvent for Recorded {
    const NAME: &'static str = "metric:recorded";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["metric"];
    const ROLES: &'static [&'static str] = &["coach", "athlete", "parent"];
}
