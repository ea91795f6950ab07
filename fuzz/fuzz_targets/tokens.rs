//! Whatever comes as a token, checking it does not panic, and nobody is recognized by one that was
//! not signed with the key.

#![no_main]

use std::sync::LazyLock;
use std::time::SystemTime;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use fanfare::auth::jwt::{Jwt, JwtKey};
use fanfare::{AuthError, Channel};
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use sha2::Sha256;

const SECRET: &[u8] = b"a secret of the fuzz targets";
const ANOTHER: &[u8] = b"a secret of somebody else";
const RSA: &[u8] = include_bytes!("../../core/src/auth/testdata/rsa.pub.pem");
const EC: &[u8] = include_bytes!("../../core/src/auth/testdata/ec.pub.pem");
const ED: &[u8] = include_bytes!("../../core/src/auth/testdata/ed.pub.pem");

static SHARED: LazyLock<Jwt> = LazyLock::new(|| jwt(JwtKey::Hs256(SECRET)));
/// Nobody here has the private keys. The public ones are known to everyone.
static PUBLIC: LazyLock<[(Jwt, &[u8]); 3]> = LazyLock::new(|| {
    [
        (jwt(JwtKey::Rs256(RSA)), RSA),
        (jwt(JwtKey::Es256(EC)), EC),
        (jwt(JwtKey::EdDsa(ED)), ED),
    ]
});

// One line is a token; two are the header and the claims of one.
fuzz_target!(|data: &[u8]| {
    let line_end = data.iter().position(|&byte| byte == b'\n');
    match line_end {
        None => {
            let Ok(token) = std::str::from_utf8(data) else {
                return;
            };
            if SHARED.identify(token).is_ok() {
                assert!(is_signed(token), "{token}");
            }
            refused_by_public_keys(token);
        }
        Some(at) => {
            let (header, claims) = (&data[..at], &data[at + 1..]);
            signed(header, claims);
            assert!(SHARED.identify(&token(header, claims, ANOTHER)).is_err());
            assert!(SHARED.identify(&token(header, claims, b"")).is_err());
            for (_, public) in &*PUBLIC {
                refused_by_public_keys(&token(header, claims, public));
            }
        }
    }
});

/// What is asked for. The rest is not looked at, and may hold text that is none.
#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: Value,
    exp: Option<IgnoredAny>,
}

fn jwt(key: JwtKey<'_>) -> Jwt {
    Jwt::new(key).expect("the key is one of its kind")
}

fn refused_by_public_keys(token: &str) {
    for (jwt, _) in &*PUBLIC {
        assert!(jwt.identify(token).is_err(), "{token}");
    }
}

/// What a token with our signature says is believed only as far as it makes sense.
fn signed(header: &[u8], claims: &[u8]) {
    let token = token(header, claims, SECRET);
    match SHARED.identify(&token) {
        Ok(identity) => {
            let header = serde_json::from_slice::<Header>(header).expect("the header says alg");
            assert_eq!(header.alg, "HS256");
            let claims = serde_json::from_slice::<Claims>(claims).expect("the claims say sub");
            assert!(Channel::is_segment(&identity.user));
            match &claims.sub {
                Value::String(user) => assert_eq!(*user, *identity.user),
                Value::Number(user) => assert_eq!(user.to_string(), *identity.user),
                other => panic!("{other} is no user"),
            }
            assert_eq!(claims.exp.is_some(), identity.expires_at.is_some());
            assert!(
                identity
                    .expires_at
                    .is_none_or(|end| end + TICK >= SystemTime::now())
            );
            assert_eq!(
                SHARED.identify(&format!("Bearer {token}")).ok(),
                Some(identity)
            );
        }
        Err(AuthError::Invalid(_) | AuthError::Expired) => {}
        Err(other) => panic!("{other:?}"),
    }
}

/// The clock goes on between the check and the look at it.
const TICK: std::time::Duration = std::time::Duration::from_secs(2);

fn token(header: &[u8], claims: &[u8], secret: &[u8]) -> String {
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let signature = mac(&signed, secret).finalize().into_bytes();
    format!("{signed}.{}", BASE64.encode(signature))
}

/// By another implementation than the one that is tested.
fn is_signed(token: &str) -> bool {
    let token = token.strip_prefix("Bearer ").unwrap_or(token);
    let Some((signed, signature)) = token.rsplit_once('.') else {
        return false;
    };
    BASE64
        .decode(signature)
        .is_ok_and(|signature| mac(signed, SECRET).verify_slice(&signature).is_ok())
}

fn mac(signed: &str, secret: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(signed.as_bytes());
    mac
}
