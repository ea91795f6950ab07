//! Types that fields of several families share.

use std::borrow::Cow;
use std::fmt;

use fanfare::Channel;
use garde::Validate;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// A UUID in the form with hyphens (RFC 9562, section 4), as it was sent: the case of its letters
/// stays, because channels are compared exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Uuid(String);

/// A user's id: it stands as a segment of a channel's name, whose alphabet it must keep to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct UserId(String);

/// A time of day, `HH:mm`, from 00:00 to 23:59.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ClockTime(String);

/// What a node is busy with, in percent of what it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "kebab-case")]
#[garde(allow_unvalidated)]
pub struct NodeLoad {
    pub memory_usage: f64,
    pub cpu_usage: f64,
    pub network_saturation: f64,
}

/// Where the counts stand by which limits go.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub struct RateLimitStore {
    pub r#type: StoreType,
    pub status: String,
    /// In milliseconds.
    pub latency: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StoreType {
    Redis,
    Memory,
}

impl Uuid {
    /// Reads a UUID; none where the text is not one with hyphens.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let read = text.parse::<uuid::fmt::Hyphenated>();
        read.is_ok().then(|| Self(text.to_owned()))
    }
}

impl UserId {
    /// Reads an id; none where no channel's name may hold it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Channel::new(&format!("user.{text}")).ok()?;
        Channel::is_segment(text).then(|| Self(text.to_owned()))
    }
}

impl ClockTime {
    /// Reads a time of day; none where the text is not of the form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (hours, minutes) = text.split_once(':')?;
        let below = |digits: &str, end: u8| {
            digits.len() == 2
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<u8>().is_ok_and(|number| number < end)
        };
        (below(hours, 24) && below(minutes, 60)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("is not a UUID"))
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let problem = "is not a user's id of A-Z a-z 0-9 _ - :";
        Self::parse(&text).ok_or_else(|| D::Error::custom(problem))
    }
}

impl<'de> Deserialize<'de> for ClockTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("is not a time of day, HH:mm"))
    }
}

impl JsonSchema for Uuid {
    fn schema_name() -> Cow<'static, str> {
        "Uuid".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uuid" })
    }
}

impl JsonSchema for UserId {
    fn schema_name() -> Cow<'static, str> {
        "UserId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_:-]+$" })
    }
}

impl JsonSchema for ClockTime {
    fn schema_name() -> Cow<'static, str> {
        "ClockTime".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$" })
    }
}

/// For `#[serde(default, deserialize_with)]` on an `Option`: the field may be left out but not null,
/// as TypeScript's `field?` has it.
///
/// # Errors
/// Those of `T`.
pub(super) fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_hyphens() {
        for good in [
            "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a60",
            "0192F6D0-7C1E-7B3A-9F55-3F1D2C4B5A60",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert!(Uuid::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "uuid",
            "0192f6d07c1e7b3a9f553f1d2c4b5a60",
            "{0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a60}",
            "urn:uuid:0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a60",
            "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a6",
            "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a6g",
            "0192f6d07-c1e-7b3a-9f55-3f1d2c4b5a60",
        ] {
            assert!(Uuid::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_time_of_day_is_one_of_a_days() {
        for good in ["00:00", "09:30", "23:59"] {
            assert!(ClockTime::parse(good).is_some(), "{good}");
        }
        for bad in [
            "", "9:30", "24:00", "12:60", "12:5", "12:30:00", "+1:30", "1２:30", "HH:mm",
        ] {
            assert!(ClockTime::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_users_id_stays_within_its_channel() {
        for good in [
            "7",
            "coach-1",
            "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a60",
            "a:b",
        ] {
            assert!(UserId::parse(good).is_some(), "{good}");
        }
        let long = "1".repeat(251);
        for bad in ["", "a.b", "a b", "a/b", "é", "*", &long] {
            assert!(UserId::parse(bad).is_none(), "{bad}");
        }
    }
}
