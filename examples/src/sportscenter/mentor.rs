//! When mentors have time, and who has booked it.

use fanfare::Priority;
use fanfare::catalog::{Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sportscenter::fields::{ClockTime, Uuid};

/// A mentor has time at other hours than before.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct AvailabilityChanged {
    pub mentor_id: Uuid,
    pub availability: Availability,
}

impl TypedEvent for AvailabilityChanged {
    const NAME: &'static str = "mentor/availability-changed";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["mentor"];
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct Availability {
    pub time_zone: String,
    pub schedule: Vec<Day>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct Day {
    pub day: String,
    pub slots: Vec<Slot>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct Slot {
    pub start: ClockTime,
    pub end: ClockTime,
}

/// An athlete has booked a session with a mentor.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct SessionBooked {
    pub mentor_id: Uuid,
    pub session: BookedSession,
}

impl TypedEvent for SessionBooked {
    const NAME: &'static str = "mentor/session-booked";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["mentor"];
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct BookedSession {
    pub id: Uuid,
    pub athlete_id: Uuid,
    pub r#type: BookedSessionType,
    pub scheduled_time: ScheduledTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BookedSessionType {
    Review,
    Guidance,
    Assessment,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct ScheduledTime {
    pub start: Timestamp,
    pub end: Timestamp,
}
