//! What caches have to know. No client gets any of it.

pub mod invalidation;
pub mod synchronization;
pub mod upkeep;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// By what caches read all of it.
const TOPICS: &[&str] = &["sportscenter.cache"];

/// How soon caches should see to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    High,
    Normal,
    Low,
}
