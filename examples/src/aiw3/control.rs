//! What the server says on an event stream beside events. Not published.

use fanfare::Identity;
use fanfare::catalog::{ControlMessage, Timestamp};
use jiff::Timestamp as Now;
use schemars::JsonSchema;
use serde::Serialize;

/// The first message of an event stream, also where a client comes back (architecture document,
/// "Controller Implementation").
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionEstablished {
    #[schemars(extend("const" = Self::NAME))]
    pub r#type: &'static str,
    pub user_id: UserId,
    #[schemars(with = "Timestamp")]
    pub timestamp: String,
    pub message: &'static str,
}

/// A user as one of the two envelopes has one: a number where the id is one, as in the guide.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum UserId {
    Number(u64),
    Name(String),
}

/// A sign of life every 30 s, as the architecture document has it. On this server's event streams a
/// comment line stands for it, which keeps the connection open and which scripts never see.
#[derive(Debug, JsonSchema)]
pub struct Heartbeat {
    #[schemars(extend("const" = Self::NAME))]
    pub r#type: &'static str,
    pub timestamp: Timestamp,
}

impl ConnectionEstablished {
    /// Welcomes a user, now.
    #[must_use]
    pub fn of(identity: &Identity) -> Self {
        Self {
            r#type: Self::NAME,
            user_id: UserId::of(&identity.user),
            timestamp: format!("{:.3}", Now::now()),
            message: "NFT event stream connected successfully",
        }
    }
}

impl UserId {
    /// A number only where it is written as the user was.
    #[must_use]
    pub fn of(user: &str) -> Self {
        let number = user.parse::<u64>().ok();
        let number = number.filter(|number| number.to_string() == user);
        number.map_or_else(|| Self::Name(user.to_owned()), Self::Number)
    }
}

impl ControlMessage for ConnectionEstablished {
    const NAME: &'static str = "connection_established";
}

impl ControlMessage for Heartbeat {
    const NAME: &'static str = "heartbeat";
}
