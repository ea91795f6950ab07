//! What users are told of the platform itself. Each user gets an envelope of its own; a batch has room
//! for a thousand.

use fanfare::Priority;
use fanfare::catalog::{EnvelopeFields, Timestamp, TypedEvent};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TO_USER;
use super::fields::{Anything, user_id};
use super::topics::OPERATIONS;

/// The platform will be down for a while.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct MaintenanceScheduled {
    pub maintenance_id: String,
    pub title: String,
    pub description: String,
    pub scheduled_start_time: Timestamp,
    pub scheduled_end_time: Timestamp,
    pub estimated_duration: String,
    pub timezone: String,
    pub affected_services: Vec<String>,
    pub unaffected_services: Vec<String>,
    pub maintenance_type: String,
    pub severity: String,
    pub advance_notice_hours: u64,
    pub expected_impact: ExpectedImpact,
    pub preparation_steps: Vec<String>,
    pub contact_info: StatusContact,
}

/// What will not work as usual.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedImpact {
    pub trading: String,
    pub nft_claiming: String,
    pub portfolio_viewing: String,
    pub notifications: String,
}

/// Where to ask about it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusContact {
    pub support_email: String,
    pub status_page: String,
    pub announcement_url: String,
}

impl TypedEvent for MaintenanceScheduled {
    const NAME: &'static str = "maintenance_scheduled";
    const FAMILY: &'static str = "system";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// The platform is down. The platform's document gives no payload.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
pub struct MaintenanceStarted(#[garde(skip)] pub Anything);

impl TypedEvent for MaintenanceStarted {
    const NAME: &'static str = "maintenance_started";
    const FAMILY: &'static str = "system";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// The platform is back. The platform's document gives no payload.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
pub struct MaintenanceCompleted(#[garde(skip)] pub Anything);

impl TypedEvent for MaintenanceCompleted {
    const NAME: &'static str = "maintenance_completed";
    const FAMILY: &'static str = "system";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// The platform can do something new.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct FeatureAnnouncement {
    pub feature_id: String,
    pub title: String,
    pub description: String,
    pub release_version: String,
    pub release_date: Timestamp,
    pub feature_type: String,
    pub target_audience: String,
    pub features: Vec<Feature>,
    pub eligibility: FeatureEligibility,
    pub call_to_action: CallToAction,
    pub documentation: Documentation,
    pub promotional_offer: PromotionalOffer,
}

/// One new thing.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Feature {
    pub name: String,
    pub description: String,
    pub benefits: Vec<String>,
}

/// Who can use it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeatureEligibility {
    pub required_nft_level: u64,
    pub minimum_staking_period: String,
    pub supported_nft_types: Vec<String>,
}

/// A button.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallToAction {
    pub text: String,
    /// A path of the site's, or a URL.
    pub url: String,
    pub button_style: String,
}

/// Where to read on.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Documentation {
    pub user_guide: String,
    pub faq: String,
    pub video_tutorial: String,
}

/// What those get who come soon.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionalOffer {
    pub title: String,
    pub description: String,
    pub valid_until: Timestamp,
    pub terms: String,
}

impl TypedEvent for FeatureAnnouncement {
    const NAME: &'static str = "feature_announcement";
    const FAMILY: &'static str = "system";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// Something is wrong with a user's account.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct SecurityAlert {
    pub alert_id: String,
    pub alert_type: String,
    pub severity: String,
    pub title: String,
    pub description: String,
    pub detected_at: Timestamp,
    pub affected_account: AffectedAccount,
    pub suspicious_activity: SuspiciousActivity,
    pub recommended_actions: Vec<RecommendedAction>,
    pub automatic_actions: Vec<String>,
    pub contact_info: SecurityContact,
    pub additional_info: RiskAssessment,
}

/// Whose account it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AffectedAccount {
    pub user_id: u64,
    pub email: String,
    pub last_known_location: String,
    pub suspicious_location: String,
}

/// What was noticed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuspiciousActivity {
    pub activity_type: String,
    pub ip_address: String,
    pub user_agent: String,
    pub location: Location,
    pub attempt_count: u64,
    pub successful: bool,
    pub blocked: bool,
}

/// Where it came from.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Location {
    pub country: String,
    pub city: String,
    /// Latitude and longitude in degrees.
    pub coordinates: [f64; 2],
}

/// What the user should do.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RecommendedAction {
    pub action: String,
    pub priority: String,
    pub description: String,
    pub url: String,
}

/// Whom to call.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityContact {
    pub security_team: String,
    pub emergency_phone: String,
    pub report_url: String,
}

/// How bad it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RiskAssessment {
    pub was_account_compromised: bool,
    pub data_at_risk: String,
    pub estimated_risk: String,
}

impl TypedEvent for SecurityAlert {
    const NAME: &'static str = "security_alert";
    const FAMILY: &'static str = "system";
    const PRIORITY: Priority = Priority::High;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}

/// The platform does not work as well as it should.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct ServiceDegradation {
    pub incident_id: String,
    pub title: String,
    pub description: String,
    pub started_at: Timestamp,
    pub status: String,
    pub severity: String,
    pub affected_services: Vec<AffectedService>,
    pub root_cause: RootCause,
    pub current_impact: CurrentImpact,
    pub mitigation_steps: Vec<String>,
    pub estimated_resolution: Timestamp,
    pub workarounds: Vec<String>,
    pub updates: Vec<IncidentUpdate>,
    pub status_page: String,
}

/// How one service does.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AffectedService {
    pub service_name: String,
    pub status: String,
    pub impact: String,
    /// In percent.
    pub availability: f64,
}

/// What is known of the reason.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootCause {
    pub identified: bool,
    pub suspected_cause: String,
    pub investigation: String,
}

/// Who feels it, and how.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CurrentImpact {
    pub users_affected: u64,
    pub percentage_affected: f64,
    pub avg_response_time_increase: String,
    pub error_rate_increase: String,
}

/// What happened since.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct IncidentUpdate {
    pub timestamp: Timestamp,
    pub status: String,
    pub message: String,
}

impl TypedEvent for ServiceDegradation {
    const NAME: &'static str = "service_degradation";
    const FAMILY: &'static str = "system";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = TO_USER;
    const TOPICS: &'static [&'static str] = &[OPERATIONS];

    fn channel_id(&self, envelope: &EnvelopeFields<'_>) -> Option<String> {
        user_id(envelope)
    }
}
