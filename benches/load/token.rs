//! Tokens of the users that connect.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

#[derive(Serialize)]
struct Claims {
    sub: String,
    exp: u64,
}

const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// One token for each of `count` users: servers limit the connections of one.
pub(crate) fn mint(secret: &str, count: u32) -> Result<Vec<String>, String> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let key = EncodingKey::from_secret(secret.as_bytes());
    let token = |user: u32| {
        let claims = Claims {
            sub: (1_000_000 + user).to_string(),
            exp: (now + LIFETIME).as_secs(),
        };
        jsonwebtoken::encode(&Header::default(), &claims, &key)
            .map_err(|error| format!("token: {error}"))
    };
    (0..count).map(token).collect()
}
