//! How users spend their time.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sportscenter::fields::Uuid;

/// How a user took part in a session. It goes to that user.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct SessionEngagement {
    pub session_id: Uuid,
    pub user_id: Uuid,
    pub metrics: SessionMetrics,
    pub breakdown: SessionBreakdown,
    pub timestamp: Timestamp,
}

impl TypedEvent for SessionEngagement {
    const NAME: &'static str = "analytics/session-engagement";
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
pub struct SessionMetrics {
    pub duration: f64,
    pub interaction_count: u64,
    pub focus_score: f64,
    pub completion_rate: f64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct SessionBreakdown {
    pub exercise_time: f64,
    pub rest_time: f64,
    pub feedback_time: f64,
}

/// What a user did on the platform. It goes to that user.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct PlatformUsage {
    pub user_id: Uuid,
    pub user_type: UserType,
    pub activity_type: UsageActivity,
    pub context: UsageContext,
    pub device_info: DeviceInfo,
    pub timestamp: Timestamp,
}

impl TypedEvent for PlatformUsage {
    const NAME: &'static str = "analytics/platform-usage";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UserType {
    Athlete,
    Coach,
    Mentor,
    Parent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UsageActivity {
    Login,
    FeatureUse,
    ContentAccess,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct UsageContext {
    pub feature_id: String,
    pub content_type: ContentType,
    pub duration: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ContentType {
    Video,
    Article,
    Assessment,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct DeviceInfo {
    pub r#type: DeviceType,
    pub os: String,
    pub app_version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceType {
    Mobile,
    Web,
    Tablet,
}

/// What a user did with some content. It goes to that user.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ContentEngagement {
    pub content_id: Uuid,
    pub user_id: Uuid,
    pub engagement_type: EngagementType,
    pub metrics: ContentMetrics,
    pub feedback: ContentFeedback,
    pub timestamp: Timestamp,
}

impl TypedEvent for ContentEngagement {
    const NAME: &'static str = "analytics/content-engagement";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EngagementType {
    View,
    Complete,
    Share,
    Save,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct ContentMetrics {
    pub view_duration: f64,
    pub completion_percentage: f64,
    pub interaction_count: u64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct ContentFeedback {
    pub helpful: bool,
    pub difficulty: String,
}
