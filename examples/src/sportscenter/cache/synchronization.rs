//! What caches tell each other.

use std::collections::BTreeMap;

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sportscenter::fields::Uuid;

/// A figure that several caches keep has a new value.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct RealtimeMetricsSync {
    pub metric_type: SyncedMetric,
    pub entities_affected: Vec<Uuid>,
    pub update_type: UpdateType,
    pub value: SyncedValue,
    pub timestamp: Timestamp,
}

impl TypedEvent for RealtimeMetricsSync {
    const NAME: &'static str = "cache/realtime-metrics-sync";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SyncedMetric {
    Performance,
    Engagement,
    System,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateType {
    Increment,
    Set,
    Compute,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct SyncedValue {
    pub current: f64,
    pub previous: f64,
}

/// What several caches keep of a running session is new.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct LiveSessionSync {
    pub session_id: Uuid,
    pub participant_ids: Vec<Uuid>,
    pub updates: Vec<CacheUpdate>,
    pub timestamp: Timestamp,
}

impl TypedEvent for LiveSessionSync {
    const NAME: &'static str = "cache/live-session-sync";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct CacheUpdate {
    pub key: String,
    pub value: Value,
    pub ttl: u64,
}

/// What a node has seen of the others.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct VersionVectorUpdate {
    pub node_id: String,
    pub vector: BTreeMap<String, u64>,
    pub entity_type: String,
    pub timestamp: Timestamp,
}

impl TypedEvent for VersionVectorUpdate {
    const NAME: &'static str = "cache/version-vector-update";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

/// Two nodes changed the same entity.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ConflictDetected {
    pub entity_id: Uuid,
    pub cache_keys: Vec<String>,
    pub versions: Vec<ConflictingVersion>,
    pub resolution_strategy: ResolutionStrategy,
    pub timestamp: Timestamp,
}

impl TypedEvent for ConflictDetected {
    const NAME: &'static str = "cache/conflict-detected";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct ConflictingVersion {
    pub node: String,
    pub version: u64,
    pub timestamp: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResolutionStrategy {
    Lww,
    Custom,
    Manual,
}

/// How copying to other regions goes.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ReplicationStatus {
    pub source_region: String,
    pub target_regions: Vec<String>,
    pub status: ReplicationState,
    pub metrics: ReplicationMetrics,
    pub timestamp: Timestamp,
}

impl TypedEvent for ReplicationStatus {
    const NAME: &'static str = "cache/replication-status";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicationState {
    InProgress,
    Completed,
    Failed,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ReplicationMetrics {
    pub latency: f64,
    pub items_processed: u64,
    pub errors: u64,
}
