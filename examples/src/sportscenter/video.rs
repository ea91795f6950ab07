//! Videos and what is seen in them.

use fanfare::Priority;
use fanfare::catalog::TypedEvent;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::not_null;

/// A video is on its way through the platform.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
#[schemars(rename = "VideoStatusChanged")]
#[garde(allow_unvalidated)]
pub struct StatusChanged(pub Video);

/// What was found in a video.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(transparent)]
#[schemars(rename = "VideoAnalyzed")]
#[garde(allow_unvalidated)]
pub struct Analyzed(pub Video);

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Video {
    pub video_id: String,
    pub status: VideoStatus,
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub progress: Option<f64>,
    #[serde(
        default,
        deserialize_with = "not_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub analysis: Option<Analysis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VideoStatus {
    Uploading,
    Processing,
    Analyzed,
    Failed,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct Analysis {
    pub techniques: Vec<Technique>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct Technique {
    /// Where in the video.
    pub timestamp: f64,
    pub r#type: String,
    pub confidence: f64,
    pub feedback: String,
}

impl TypedEvent for StatusChanged {
    const NAME: &'static str = "video:status";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["video"];
}

impl TypedEvent for Analyzed {
    const NAME: &'static str = "video:analysis";
    const PRIORITY: Priority = Priority::Medium;
    const CHANNELS: &'static [&'static str] = &["video"];
    const ROLES: &'static [&'static str] = &["coach", "athlete", "mentor"];
}
