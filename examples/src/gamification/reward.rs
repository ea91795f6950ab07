//! Rewards.

use fanfare::catalog::{EnvelopeFields, TypedEvent, present};
use fanfare::{Priority, Retry};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{event, fits_channel};

/// What a user gets.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
pub struct Reward {
    #[garde(length(min = 1))]
    pub reward_id: String,
    #[garde(custom(fits_channel))]
    #[schemars(regex(pattern = "^[A-Za-z0-9_:-]{1,250}$"))]
    pub user_id: String,
    #[garde(skip)]
    pub name: String,
    #[garde(skip)]
    pub r#type: String,
    /// Anything, null too; but it is said.
    #[garde(skip)]
    pub value: Value,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[garde(skip)]
    #[schemars(with = "Map<String, Value>")]
    pub metadata: Option<Map<String, Value>>,
}

impl Reward {
    fn user(&self) -> Option<&str> {
        Some(&self.user_id)
    }
}

event! {
    /// A reward waits for its user.
    Created(Reward) as "RewardCreated", "reward.created", High
}

event! {
    /// A user has taken a reward.
    Claimed(Reward) as "RewardClaimed", "reward.claimed", High
}

event! {
    /// A reward can no longer be had.
    Expired(Reward) as "RewardExpired", "reward.expired", Medium
}
