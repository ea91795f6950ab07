//! JSON Web Tokens (RFC 7519) as the proof of who a client is.

use std::fmt;
use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind as JwtErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::{AuthError, Authenticator, Handshake, Identity};
use crate::BoxFuture;
use crate::channel::Channel;

/// Checks tokens with one key and one algorithm; a token's own `alg` is never believed.
///
/// Claims: `sub` (the user id, a string or an integer; required), `exp` (enforced to the second
/// where present), `nbf`, `roles` (array of strings) or `role` (string), `channels` (array of
/// channel names to subscribe from the start).
pub struct Jwt {
    key: DecodingKey,
    validation: Validation,
}

/// The key that tokens are checked with.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum JwtKey<'a> {
    /// HS256 by a shared secret.
    Hs256(&'a [u8]),
    /// RS256 by a public key in PEM.
    Rs256(&'a [u8]),
    /// ES256 by a public key in PEM.
    Es256(&'a [u8]),
    /// EdDSA (Ed25519) by a public key in PEM.
    EdDsa(&'a [u8]),
}

/// The key is not one of its kind.
#[derive(Debug)]
pub struct JwtKeyError(jsonwebtoken::errors::Error);

impl fmt::Display for JwtKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key for tokens cannot be read")
    }
}

impl std::error::Error for JwtKeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[derive(Deserialize)]
struct Claims {
    sub: Option<Subject>,
    exp: Option<f64>,
    #[serde(default)]
    roles: Vec<String>,
    role: Option<String>,
    #[serde(default)]
    channels: Vec<Channel>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Subject {
    Text(String),
    Number(u64),
}

impl Jwt {
    /// An authenticator that accepts tokens signed with `key`, and nothing else.
    ///
    /// # Errors
    /// [`JwtKeyError`] where a PEM cannot be read.
    pub fn new(key: JwtKey<'_>) -> Result<Self, JwtKeyError> {
        let (algorithm, key) = match key {
            JwtKey::Hs256(secret) => (Algorithm::HS256, Ok(DecodingKey::from_secret(secret))),
            JwtKey::Rs256(pem) => (Algorithm::RS256, DecodingKey::from_rsa_pem(pem)),
            JwtKey::Es256(pem) => (Algorithm::ES256, DecodingKey::from_ec_pem(pem)),
            JwtKey::EdDsa(pem) => (Algorithm::EdDSA, DecodingKey::from_ed_pem(pem)),
        };
        let mut validation = Validation::new(algorithm);
        validation.leeway = 0;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Ok(Self {
            key: key.map_err(JwtKeyError)?,
            validation,
        })
    }

    /// Checks a token and reads who it stands for. Costs one signature check, 1 to 100 us.
    ///
    /// # Errors
    /// [`AuthError::Expired`] after `exp`, [`AuthError::Invalid`] for everything else.
    pub fn identify(&self, token: &str) -> Result<Identity, AuthError> {
        let token = token.strip_prefix("Bearer ").unwrap_or(token);
        let claims = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|error| match error.kind() {
                JwtErrorKind::ExpiredSignature => AuthError::Expired,
                _ => AuthError::Invalid(error.into()),
            })?
            .claims;
        let user = match claims.sub {
            Some(Subject::Text(user)) => user,
            Some(Subject::Number(user)) => user.to_string(),
            None => return Err(AuthError::Invalid("the token has no sub".into())),
        };
        let expires_at = claims.exp.map(|exp| {
            // Far-away ends are as good as none, and cannot overflow the clock.
            let exp = Duration::try_from_secs_f64(exp.clamp(0.0, 1e11)).unwrap_or_default();
            SystemTime::UNIX_EPOCH + exp
        });
        let mut roles = claims.roles;
        roles.extend(claims.role);
        Ok(Identity {
            roles,
            channels: claims.channels,
            expires_at,
            ..Identity::new(&user)?
        })
    }
}

impl Authenticator for Jwt {
    fn authenticate<'a>(
        &'a self,
        token: Option<&'a str>,
        _handshake: &'a Handshake,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        let result = token
            .ok_or(AuthError::Missing)
            .and_then(|token| self.identify(token));
        Box::pin(std::future::ready(result))
    }
}

impl fmt::Debug for Jwt {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt")
            .field("algorithms", &self.validation.algorithms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &[u8] = b"a secret of the tests";

    fn identify(claims: &Value) -> Result<Identity, AuthError> {
        let token = encode(
            &Header::default(),
            claims,
            &EncodingKey::from_secret(SECRET),
        )
        .unwrap();
        Jwt::new(JwtKey::Hs256(SECRET)).unwrap().identify(&token)
    }

    fn now() -> u64 {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    }

    #[test]
    fn claims_become_an_identity() {
        let exp = now() + 60;
        let identity = identify(&json!({
            "sub": 12, "exp": exp, "roles": ["a"], "role": "b", "channels": ["user.12"]
        }))
        .unwrap();
        assert_eq!(&*identity.user, "12");
        assert_eq!(identity.roles, ["a", "b"]);
        assert_eq!(identity.channels, [Channel::new("user.12").unwrap()]);
        assert!((59..=61).contains(&identity.ttl().unwrap()));
        assert_eq!(identify(&json!({"sub": "x"})).unwrap().ttl(), None);
    }

    #[test]
    fn expired_and_invalid_are_told_apart() {
        assert!(matches!(
            identify(&json!({"sub": "a", "exp": now() - 1})),
            Err(AuthError::Expired)
        ));
        for claims in [
            json!({}),
            json!({"sub": "a.b"}),
            json!({"sub": ""}),
            json!({"sub": -1}),
            json!({"sub": "a", "channels": ["a..b"]}),
            json!({"sub": "a", "nbf": now() + 60}),
            json!({"sub": "a", "exp": "soon"}),
        ] {
            assert!(
                matches!(identify(&claims), Err(AuthError::Invalid(_))),
                "{claims}"
            );
        }
    }

    #[test]
    fn the_algorithm_is_pinned() {
        let jwt = Jwt::new(JwtKey::Hs256(SECRET)).unwrap();
        let strong = encode(
            &Header::new(Algorithm::HS512),
            &json!({"sub": "a"}),
            &EncodingKey::from_secret(SECRET),
        );
        assert!(jwt.identify(&strong.unwrap()).is_err());
        // {"alg":"none"} . {"sub":"a"} .
        assert!(
            jwt.identify("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.")
                .is_err()
        );
        assert!(jwt.identify("").is_err());
    }

    #[test]
    fn public_keys_check_what_private_keys_signed() {
        // Made for these tests with `openssl genpkey`.
        type AsKey = fn(&'static [u8]) -> JwtKey<'static>;
        let cases: [(Algorithm, AsKey, EncodingKey, &[u8]); 3] = [
            (
                Algorithm::RS256,
                |pem| JwtKey::Rs256(pem),
                EncodingKey::from_rsa_pem(include_bytes!("testdata/rsa.pem")).unwrap(),
                include_bytes!("testdata/rsa.pub.pem"),
            ),
            (
                Algorithm::ES256,
                |pem| JwtKey::Es256(pem),
                EncodingKey::from_ec_pem(include_bytes!("testdata/ec.pem")).unwrap(),
                include_bytes!("testdata/ec.pub.pem"),
            ),
            (
                Algorithm::EdDSA,
                |pem| JwtKey::EdDsa(pem),
                EncodingKey::from_ed_pem(include_bytes!("testdata/ed.pem")).unwrap(),
                include_bytes!("testdata/ed.pub.pem"),
            ),
        ];
        for (algorithm, key, private, public) in cases {
            let jwt = Jwt::new(key(public)).unwrap();
            let token = encode(&Header::new(algorithm), &json!({"sub": "a"}), &private).unwrap();
            assert_eq!(&*jwt.identify(&token).unwrap().user, "a", "{algorithm:?}");
            // The public key as HMAC secret is the classic confusion.
            let forged = encode(
                &Header::default(),
                &json!({"sub": "a"}),
                &EncodingKey::from_secret(public),
            )
            .unwrap();
            assert!(jwt.identify(&forged).is_err(), "{algorithm:?}");
        }
        assert!(Jwt::new(JwtKey::Rs256(b"no pem")).is_err());
    }
}
