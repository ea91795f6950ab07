//! Tokens as the platform's backend mints them.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

use crate::server::JWT_SECRET;

/// The claims of a token, good for an hour unless they say otherwise.
#[derive(Clone, Debug)]
pub struct Token(Map<String, Value>);

impl Token {
    /// A token of a user.
    #[must_use]
    pub fn of(user: impl Display) -> Self {
        Self(Map::new())
            .claim("sub", user.to_string())
            .ending(from_now(3600))
    }

    /// Sets the second since 1970 at which it ends.
    #[must_use]
    pub fn ending(self, at: u64) -> Self {
        self.claim("exp", at)
    }

    /// Gives the user a role.
    #[must_use]
    pub fn role(self, role: &str) -> Self {
        self.claim("roles", json!([role]))
    }

    /// Names channels to subscribe to at connect.
    #[must_use]
    pub fn channels(self, channels: &[&str]) -> Self {
        self.claim("channels", json!(channels))
    }

    /// Sets any claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Takes a claim away.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Signs it with the servers' secret.
    #[must_use]
    pub fn sign(&self) -> String {
        self.sign_with(JWT_SECRET)
    }

    /// Signs it with any secret.
    #[must_use]
    pub fn sign_with(&self, secret: &str) -> String {
        encode(
            &Header::default(),
            &self.0,
            &EncodingKey::from_secret(secret.as_bytes()),
        )
        .expect("claims are plain JSON, and HS256 takes any secret")
    }
}

/// The second since 1970 that lies `seconds` ahead.
#[must_use]
pub fn from_now(seconds: u64) -> u64 {
    (since_1970() + Duration::from_secs(seconds)).as_secs()
}

/// The time by the clock that tokens go by.
#[must_use]
pub fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("it is past 1970")
}
