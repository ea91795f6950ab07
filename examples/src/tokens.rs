//! Tokens for trying things out.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

/// A random secret of 32 hexadecimal digits.
#[must_use]
pub fn random_secret() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// A token for user 1, who has no roles, good for a day.
///
/// # Errors
/// What the signing library says.
pub fn demo_token(secret: &str) -> Result<String, jsonwebtoken::errors::Error> {
    token(secret, "1", &[])
}

/// A user's token, good for a day.
///
/// # Errors
/// What the signing library says.
pub fn token(
    secret: &str,
    user: &str,
    roles: &[&str],
) -> Result<String, jsonwebtoken::errors::Error> {
    let end = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
    let exp = end
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let claims = json!({"sub": user, "exp": exp, "roles": roles});
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(secret.as_bytes()),
    )
}
