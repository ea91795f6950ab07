//! How the platform itself does.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sportscenter::fields::Uuid;

/// How a component of the platform performs. No client gets it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct SystemPerformance {
    pub component: Component,
    pub metrics: ComponentMetrics,
    pub resource_usage: ResourceUsage,
    pub timestamp: Timestamp,
}

impl TypedEvent for SystemPerformance {
    const NAME: &'static str = "analytics/system-performance";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["analytics"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    Api,
    Websocket,
    Database,
    Cache,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ComponentMetrics {
    pub response_time: f64,
    pub error_rate: f64,
    pub throughput: f64,
    pub concurrent_users: u64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ResourceUsage {
    pub cpu: f64,
    pub memory: f64,
    pub network_io: f64,
}

/// Something failed. No client gets it: the user whom it hit stands in its context, beside a stack
/// trace, and is not the one whom it is for.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ErrorEvent {
    pub error_id: Uuid,
    pub r#type: ErrorType,
    pub severity: Severity,
    pub context: ErrorContext,
    pub impact: ErrorImpact,
    pub timestamp: Timestamp,
}

impl TypedEvent for ErrorEvent {
    const NAME: &'static str = "analytics/error-event";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["analytics"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorType {
    Api,
    Client,
    System,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ErrorContext {
    pub user_id: Uuid,
    pub session_id: Uuid,
    pub request_id: Uuid,
    pub stack_trace: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ErrorImpact {
    pub users_affected: u64,
    pub services_affected: Vec<String>,
    pub duration: f64,
}
