//! Types for the fields of events.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::SystemTime;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment as RFC 3339 writes it, with any offset: `2025-07-17T10:30:00Z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp(jiff::Timestamp);

/// A day as RFC 3339 writes it: `2025-07-20`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Date(jiff::civil::Date);

impl Timestamp {
    /// Reads a moment; none where the text is not RFC 3339 (section 5.6, `date-time`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Narrower than jiff, which takes Temporal's extensions of the format as well.
        let (head, rest) = text.split_at_checked(19)?;
        let digits = rest
            .strip_prefix('.')
            .map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        let fraction = digits.map_or(0, |zone| rest.len() - zone.len());
        let zone = digits.unwrap_or(rest);
        let fits = has_form(head, "dddd-dd-ddTdd:dd:dd")
            && fraction != 1
            && fraction <= 10
            && (zone.eq_ignore_ascii_case("z")
                || has_form(zone, "+dd:dd")
                || has_form(zone, "-dd:dd"));
        if !fits {
            return None;
        }
        text.parse().ok().map(Self)
    }

    /// Nanoseconds since 1970.
    #[must_use]
    pub fn unix_nanoseconds(&self) -> i128 {
        self.0.as_nanosecond()
    }

    /// The moment as the standard library has it.
    #[must_use]
    pub fn system_time(&self) -> SystemTime {
        self.0.into()
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub fn unix_seconds(&self) -> i64 {
        self.0.as_second()
    }
}

impl Date {
    /// Reads a day; none where the text is not RFC 3339 (section 5.6, `full-date`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        has_form(text, "dddd-dd-dd")
            .then(|| text.parse().ok().map(Self))
            .flatten()
    }
}

/// Whether `text` is like `form`, in which `d` stands for a digit and letters for either case.
fn has_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text
            .bytes()
            .zip(form.bytes())
            .all(|(byte, form)| match form {
                b'd' => byte.is_ascii_digit(),
                other => byte.eq_ignore_ascii_case(&other),
            })
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("is not a time as RFC 3339 writes it"))
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("is not a date as RFC 3339 writes it"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl JsonSchema for Date {
    fn schema_name() -> Cow<'static, str> {
        "Date".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date" })
    }
}

/// For `#[serde(deserialize_with = "nullable")]` on an `Option`: the field may be null but not left out.
/// `#[schemars(with = "Nullable<T>")]` says the same in schemas.
///
/// # Errors
/// Those of `T`.
pub fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// For `#[serde(default, deserialize_with = "present")]` on an `Option`: the field may be left out but not
/// null, as TypeScript's `?` has it. `#[schemars(with = "T")]` says the same in schemas.
///
/// # Errors
/// Those of `T`.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// In schemas, a `T` or null that may not be left out; see [`nullable`].
#[derive(Clone, Copy, Debug)]
pub struct Nullable<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for Nullable<T> {
    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        Option::<T>::schema_id()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<T>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        for good in [
            "2025-07-17T10:30:00Z",
            "2025-07-17t10:30:00z",
            "2025-07-17T10:30:00.123456789+07:00",
            "2025-07-17T10:30:00-00:30",
            "2024-02-29T23:59:59.5Z",
        ] {
            assert!(Timestamp::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "2025-07-17",
            "2025-07-17 10:30:00Z",
            "2025-07-17T10:30Z",
            "2025-07-17T10:30:00",
            "2025-02-29T10:30:00Z",
            "2025-07-17T25:30:00Z",
            "2025-07-17T10:30:00.Z",
            "2025-07-17T10:30:00+0700",
            "2025-07-17T10:30:00Z[UTC]",
            "20250717T103000Z",
            "+002025-07-17T10:30:00Z",
            "2025-07-17T10:30:00é",
        ] {
            assert!(Timestamp::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(
            Timestamp::parse("1970-01-01T01:00:01+01:00")
                .unwrap()
                .unix_seconds(),
            1
        );
    }

    #[test]
    fn dates_are_those_of_rfc_3339() {
        assert!(Date::parse("2025-07-20").is_some());
        for bad in [
            "2025-7-20",
            "20250720",
            "2025-02-30",
            "2025-07-20T00:00:00Z",
            "",
        ] {
            assert!(Date::parse(bad).is_none(), "{bad}");
        }
    }
}
