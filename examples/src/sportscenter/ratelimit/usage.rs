//! What a user has used of what it may.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sportscenter::fields::Uuid;

/// How many connections a user has, of how many.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ConnectionLimit {
    pub user_id: Uuid,
    pub connection_count: u64,
    pub max_connections: u64,
    pub remaining: u64,
    pub reset_time: Timestamp,
    pub policy: ConnectionPolicy,
}

impl TypedEvent for ConnectionLimit {
    const NAME: &'static str = "ratelimit/connection-limit";
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
pub struct ConnectionPolicy {
    pub r#type: String,
    pub window_size: u64,
}

/// How many events a user has published, of how many.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct MessageQuota {
    pub user_id: Uuid,
    pub quota: Quota,
    pub r#type: QuotaType,
    pub window: QuotaWindow,
}

impl TypedEvent for MessageQuota {
    const NAME: &'static str = "ratelimit/message-quota";
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
pub struct Quota {
    pub messages_sent: u64,
    pub messages_limit: u64,
    pub reset_time: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QuotaType {
    User,
    Session,
    Ip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QuotaWindow {
    Minute,
    Hour,
    Day,
}

/// A user publishes faster than it may.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct BurstControl {
    pub user_id: Uuid,
    pub burst: Burst,
    pub action: BurstAction,
    pub backoff: BurstBackoff,
}

impl TypedEvent for BurstControl {
    const NAME: &'static str = "ratelimit/burst-control";
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
pub struct Burst {
    pub current_rate: f64,
    pub max_rate: f64,
    pub window_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BurstAction {
    Delay,
    Drop,
    Throttle,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct BurstBackoff {
    pub initial: f64,
    pub max: f64,
    pub multiplier: f64,
}

/// How many bytes a user has moved, of how many.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct BandwidthLimit {
    pub user_id: Uuid,
    pub bandwidth: Bandwidth,
    pub r#type: BandwidthType,
    pub action: BandwidthAction,
}

impl TypedEvent for BandwidthLimit {
    const NAME: &'static str = "ratelimit/bandwidth-limit";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct Bandwidth {
    pub current: u64,
    pub limit: u64,
    pub window: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BandwidthType {
    Upload,
    Download,
    Total,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BandwidthAction {
    Throttle,
    Block,
}

/// How many operations a user has under way, of how many.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ConcurrentOps {
    pub user_id: Uuid,
    pub operation_type: OperationType,
    pub current: u64,
    pub max: u64,
    pub queue_position: u64,
    pub estimated_wait: f64,
}

impl TypedEvent for ConcurrentOps {
    const NAME: &'static str = "ratelimit/concurrent-ops";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OperationType {
    VideoStream,
    FileTransfer,
    BulkOperation,
}

/// A user is close to a limit.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct LimitWarning {
    pub user_id: Uuid,
    pub r#type: WarningType,
    pub usage_percent: f64,
    pub forecast: Forecast,
    pub mitigation_options: Vec<String>,
}

impl TypedEvent for LimitWarning {
    const NAME: &'static str = "ratelimit/limit-warning";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WarningType {
    Connection,
    Message,
    Bandwidth,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct Forecast {
    pub time_to_limit: f64,
    pub suggested_reduction: f64,
}

/// A user went over a limit.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct Violation {
    pub user_id: Uuid,
    pub violation: ViolationReport,
    pub consequences: Consequences,
}

impl TypedEvent for Violation {
    const NAME: &'static str = "ratelimit/violation";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct ViolationReport {
    pub r#type: ViolationType,
    pub details: String,
    pub timestamp: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ViolationType {
    ExceededLimit,
    AbuseDetected,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct Consequences {
    pub action: ConsequenceAction,
    pub duration: f64,
    pub appeal_process: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConsequenceAction {
    TemporaryBlock,
    RateReduce,
}
