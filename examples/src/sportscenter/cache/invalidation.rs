//! What caches must no longer hold.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Urgency;
use crate::sportscenter::fields::Uuid;

/// An entity changed or is gone.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct EntityInvalidated {
    pub entity_type: EntityType,
    pub entity_id: Uuid,
    pub invalidation_type: InvalidationType,
    pub cache_keys: Vec<String>,
    pub timestamp: Timestamp,
    pub version: u64,
}

impl TypedEvent for EntityInvalidated {
    const NAME: &'static str = "cache/entity-invalidated";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EntityType {
    Athlete,
    Coach,
    Mentor,
    Session,
    Assessment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InvalidationType {
    Update,
    Delete,
}

/// Many entities changed at once.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct BulkEntitiesInvalidated {
    pub entity_type: String,
    pub entity_ids: Vec<Uuid>,
    pub pattern: String,
    pub reason: BulkReason,
    pub priority: Urgency,
    pub timestamp: Timestamp,
}

impl TypedEvent for BulkEntitiesInvalidated {
    const NAME: &'static str = "cache/bulk-entities-invalidated";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BulkReason {
    BulkUpdate,
    DataMigration,
    VersionChange,
}

/// An entity changed, and with it those that depend on it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct RelationshipInvalidated {
    pub primary_entity: PrimaryEntity,
    pub related_entities: Vec<RelatedEntity>,
    pub cascade: bool,
    pub timestamp: Timestamp,
}

impl TypedEvent for RelationshipInvalidated {
    const NAME: &'static str = "cache/relationship-invalidated";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct PrimaryEntity {
    pub r#type: String,
    pub id: Uuid,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct RelatedEntity {
    pub r#type: String,
    pub id: Uuid,
    pub relationship: Relationship,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Relationship {
    Parent,
    Child,
    Peer,
}

/// What is kept under keys of a form is no longer true.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct PatternInvalidated {
    pub pattern: String,
    pub scope: Scope,
    pub reason: PatternReason,
    pub affected_regions: Vec<String>,
    pub timestamp: Timestamp,
}

impl TypedEvent for PatternInvalidated {
    const NAME: &'static str = "cache/pattern-invalidated";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    Global,
    Regional,
    User,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PatternReason {
    DataUpdate,
    ConfigurationChange,
    Deployment,
}

/// What is kept under some tags is no longer true.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct TagsInvalidated {
    pub tags: Vec<String>,
    pub scope: Scope,
    pub priority: Urgency,
    pub timestamp: Timestamp,
}

impl TypedEvent for TagsInvalidated {
    const NAME: &'static str = "cache/tags-invalidated";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

/// What is kept about a time is no longer true.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct TimeWindowInvalidated {
    pub start_time: Timestamp,
    pub end_time: Timestamp,
    pub affected_types: Vec<String>,
    pub reason: TimeWindowReason,
    pub timestamp: Timestamp,
}

impl TypedEvent for TimeWindowInvalidated {
    const NAME: &'static str = "cache/time-window-invalidated";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TimeWindowReason {
    DataCorrection,
    TimezoneUpdate,
}

/// What is kept under keys of a form is thrown away by the clock.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ScheduleInvalidation {
    pub schedule: String,
    pub patterns: Vec<String>,
    pub timezone: String,
    pub next_execution: Timestamp,
    pub timestamp: Timestamp,
}

impl TypedEvent for ScheduleInvalidation {
    const NAME: &'static str = "cache/schedule-invalidation";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["cache"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}
