//! What fields of several events have in common.

use fanfare::Channel;
use fanfare::catalog::EnvelopeFields;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The most characters of an id.
pub(super) const ID_CHARS: usize = 128;

/// What stands for a message, an NFT or a badge: 1 to 128 characters. The guide calls them UUIDs, and its
/// own samples are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("minLength" = 1, "maxLength" = ID_CHARS))]
pub struct Id(pub String);

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        let count = id.chars().count();
        if (1..=ID_CHARS).contains(&count) {
            Ok(Self(id))
        } else {
            Err(format!("has {count} characters, not 1 to {ID_CHARS}"))
        }
    }
}

/// A user as the architecture document has one: a string, such that it can stand in a channel's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9_:-]{1,128}$"))]
pub struct UserName(pub String);

impl TryFrom<String> for UserName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if Channel::is_segment(&name) && name.len() <= ID_CHARS {
            Ok(Self(name))
        } else {
            Err("is not 1 to 128 of A-Z a-z 0-9 _ - :")
        }
    }
}

/// Data of which nothing is known but that it is an object.
pub type Anything = Map<String, Value>;

/// The user whom an envelope is for, a number in the guide and a string in the architecture document:
/// `12345` and `"12345"` are one.
#[must_use]
pub fn user_id(envelope: &EnvelopeFields<'_>) -> Option<String> {
    match serde_json::from_str(envelope.json("userId")?).ok()? {
        Value::String(name) => Some(name),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// For garde: refuses a number with more than two decimals.
pub(super) fn two_decimals(number: &f64, (): &()) -> garde::Result {
    // The shortest text that reads as this number; without exponents.
    let text = number.to_string();
    let decimals = text
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    if decimals <= 2 {
        Ok(())
    } else {
        Err(garde::Error::new(format!(
            "has {decimals} decimals, at most 2 are allowed"
        )))
    }
}

/// For garde: refuses what is not of the alphabet of Base58 (Bitcoin's, which Solana uses).
pub(super) fn base58(text: &str, (): &()) -> garde::Result {
    let is_base58 = |c: char| c.is_ascii_alphanumeric() && !matches!(c, '0' | 'O' | 'I' | 'l');
    if !text.is_empty() && text.chars().all(is_base58) {
        Ok(())
    } else {
        Err(garde::Error::new("is not Base58"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_up_to_128_characters_of_any_kind() {
        let id = |text: &str| serde_json::from_value::<Id>(text.into());
        for good in ["x", "nft_tier_2_12345_002", "é ü", &"ü".repeat(128)] {
            assert!(id(good).is_ok(), "{good}");
        }
        assert!(id("").is_err());
        assert!(id(&"x".repeat(129)).is_err());
    }

    #[test]
    fn user_names_can_stand_in_a_channels_name() {
        let name = |text: &str| serde_json::from_value::<UserName>(text.into());
        for good in ["12345", "anna", "a-b_c:d"] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a b", "é", &"x".repeat(129)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_have_two_decimals() {
        for good in [0.0, 5.0, 5000.0, 0.1, 0.01, 1e15, 123_456.78] {
            assert!(two_decimals(&good, &()).is_ok(), "{good}");
        }
        for bad in [0.001, 5000.005, 1e-7, 99.999] {
            assert!(two_decimals(&bad, &()).is_err(), "{bad}");
        }
    }

    #[test]
    fn base58_has_no_letters_that_look_alike() {
        assert!(base58("8xKvN8R2mF3nQ9sT1xY4wE6rA8bC3dG9hL2mN5pR", &()).is_ok());
        for bad in ["", "0", "O", "I", "l", "a b", "é", "a+b"] {
            assert!(base58(bad, &()).is_err(), "{bad}");
        }
    }
}
