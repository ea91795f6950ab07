//! What users do together.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sportscenter::fields::Uuid;

/// What a user did in the community. It goes to that user.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct CommunityEngagement {
    pub user_id: Uuid,
    pub activity_type: CommunityActivityType,
    pub content: CommunityContent,
    pub reach: Reach,
    pub timestamp: Timestamp,
}

impl TypedEvent for CommunityEngagement {
    const NAME: &'static str = "analytics/community-engagement";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["user.{user_id}"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn channel_id(&self, _envelope: &EnvelopeFields<'_>) -> Option<String> {
        Some(self.user_id.to_string())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CommunityActivityType {
    Post,
    Comment,
    Like,
    Share,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct CommunityContent {
    pub id: Uuid,
    pub r#type: CommunityContentType,
    pub engagement_score: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CommunityContentType {
    Discussion,
    Achievement,
    Milestone,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct Reach {
    pub views: u64,
    pub interactions: u64,
    pub shares: u64,
}

/// How a group worked together. No client gets it.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct CollaborationMetrics {
    pub session_id: Uuid,
    pub participants: Vec<Uuid>,
    pub r#type: CollaborationType,
    pub metrics: GroupMetrics,
    pub feedback_summary: FeedbackSummary,
    pub timestamp: Timestamp,
}

impl TypedEvent for CollaborationMetrics {
    const NAME: &'static str = "analytics/collaboration-metrics";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["analytics"];
    const TOPICS: &'static [&'static str] = super::TOPICS;

    fn is_for_services_only(&self, _envelope: &EnvelopeFields<'_>) -> bool {
        true
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CollaborationType {
    TeamTraining,
    GroupSession,
    MentorMeeting,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct GroupMetrics {
    pub participant_count: u64,
    pub interaction_density: f64,
    pub collaboration_score: f64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct FeedbackSummary {
    pub satisfaction_score: f64,
    pub engagement_level: String,
}
