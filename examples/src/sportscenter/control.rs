//! What Socket.IO clients and the server say to each other beside events. Not published.

use fanfare::catalog::{ControlMessage, Timestamp};
use schemars::JsonSchema;
use serde_json::Value;

/// A client asks whether the server is there, every 30 s.
#[derive(Debug, JsonSchema)]
pub struct Ping {}

/// It is.
#[derive(Debug, JsonSchema)]
pub struct Pong {}

/// Something that a client wanted was refused.
#[derive(Debug, JsonSchema)]
pub struct Refusal {
    /// `AUTH_FAILED`, `RATE_LIMITED`, `CONNECTION_ERROR`, or a code of the HTTP side.
    pub code: String,
    pub message: String,
    pub details: Option<Value>,
}

/// How the server is.
#[derive(Debug, JsonSchema)]
pub struct Health {
    pub status: HealthState,
    pub timestamp: Timestamp,
    pub metrics: HealthMetrics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum HealthState {
    Healthy,
    Degraded,
    Unhealthy,
}

#[derive(Debug, JsonSchema)]
pub struct HealthMetrics {
    /// Bytes.
    pub memory: f64,
    /// Percent of one processor.
    pub cpu: f64,
    pub connections: u64,
}

impl ControlMessage for Ping {
    const NAME: &'static str = "ping";
    const FROM_CLIENTS: bool = true;
}

impl ControlMessage for Pong {
    const NAME: &'static str = "pong";
}

impl ControlMessage for Refusal {
    const NAME: &'static str = "error";
}

impl ControlMessage for Health {
    const NAME: &'static str = "health";
}
