//! What caches say of themselves.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Urgency;
use crate::sportscenter::fields::{NodeLoad, RateLimitStore};

/// A node's cache runs out of memory.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct MemoryPressure {
    pub node_id: String,
    pub memory_usage: f64,
    pub eviction_strategy: EvictionStrategy,
    pub priority_keys: Vec<String>,
    pub protected_patterns: Vec<String>,
    pub timestamp: Timestamp,
}

impl TypedEvent for MemoryPressure {
    const NAME: &'static str = "cache/memory-pressure";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EvictionStrategy {
    Lru,
    Ttl,
    Custom,
}

/// A cache is being filled before it is asked.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct WarmingEvent {
    pub patterns: Vec<String>,
    pub priority: Urgency,
    pub strategy: WarmingStrategy,
    pub progress: WarmingProgress,
    pub timestamp: Timestamp,
}

impl TypedEvent for WarmingEvent {
    const NAME: &'static str = "cache/warming-event";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WarmingStrategy {
    Preload,
    Lazy,
    Predictive,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct WarmingProgress {
    pub total: u64,
    pub processed: u64,
    pub errors: u64,
}

/// How a node and its cache are.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct HealthStatus {
    pub node_id: String,
    pub status: CacheHealth,
    pub metrics: NodeLoad,
    pub rate_limit_store: RateLimitStore,
}

impl TypedEvent for HealthStatus {
    const NAME: &'static str = "cache/health-status";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CacheHealth {
    Healthy,
    Degraded,
    Unhealthy,
}
