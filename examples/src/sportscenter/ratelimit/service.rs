//! What the platform does to protect itself.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sportscenter::fields::{NodeLoad, RateLimitStore, Uuid};

/// A node takes in fewer connections. No client gets it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ConnectionThrottle {
    pub node_id: String,
    pub current_load: f64,
    pub max_load: f64,
    pub throttle_policy: ThrottlePolicy,
    pub duration: f64,
    pub affected_user_types: Vec<String>,
}

impl TypedEvent for ConnectionThrottle {
    const NAME: &'static str = "ratelimit/connection-throttle";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["ratelimit"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ThrottlePolicy {
    Reject,
    Queue,
    Degrade,
}

/// An attack is met. No client gets it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct DdosProtection {
    pub trigger: Trigger,
    pub action: DefenseAction,
    pub scope: DefenseScope,
    pub duration: f64,
}

impl TypedEvent for DdosProtection {
    const NAME: &'static str = "ratelimit/ddos-protection";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["ratelimit"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct Trigger {
    pub r#type: Attack,
    pub threshold: u64,
    pub window: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    ConnectionFlood,
    MessageFlood,
    PatternAbuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DefenseAction {
    Block,
    Challenge,
    Monitor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DefenseScope {
    Ip,
    Subnet,
    Global,
}

/// A service is cut off, or taken back. No client gets it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct CircuitBreaker {
    pub service: ProtectedService,
    pub state: CircuitState,
    pub metrics: CircuitMetrics,
    pub recovery: CircuitRecovery,
}

impl TypedEvent for CircuitBreaker {
    const NAME: &'static str = "ratelimit/circuit-breaker";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["ratelimit"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProtectedService {
    RealtimeMetrics,
    VideoStreaming,
    Chat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CircuitState {
    Open,
    HalfOpen,
    Closed,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct CircuitMetrics {
    pub error_rate: f64,
    pub latency: f64,
    pub timeout_rate: f64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct CircuitRecovery {
    pub attempts: u64,
    pub backoff: f64,
    pub reset_time: Timestamp,
}

/// What limits did everywhere. No client gets it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct LimitMetrics {
    pub timestamp: Timestamp,
    pub global: GlobalMetrics,
    pub per_user: UserMetrics,
    pub violations: Violations,
}

impl TypedEvent for LimitMetrics {
    const NAME: &'static str = "ratelimit/metrics";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["ratelimit"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct GlobalMetrics {
    pub total_connections: u64,
    pub message_rate: f64,
    pub bandwidth_usage: f64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct UserMetrics {
    pub p95_usage: f64,
    pub p99_usage: f64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct Violations {
    pub count: u64,
    pub top_offenders: Vec<Uuid>,
}

/// How a node and its limits are. No client gets it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "LimitsHealthReport")]
#[garde(allow_unvalidated)]
pub struct Health {
    pub node_id: String,
    pub status: LimitsHealth,
    pub metrics: NodeLoad,
    pub rate_limit_store: RateLimitStore,
}

impl TypedEvent for Health {
    const NAME: &'static str = "ratelimit/health";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["ratelimit"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LimitsHealth {
    Healthy,
    Degraded,
    Critical,
}
