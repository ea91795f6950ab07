//! How topics and groups are spelled in NATS.

use std::borrow::Cow;

use fanfare::broker::BrokerError;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};

use crate::services::headers::refused;

/// What a subject may not hold, and `%` and `$`, so that no topic is spelled like another or like
/// the subjects that fanfare keeps for itself.
const TOPIC: &AsciiSet = &CONTROLS.add(b' ').add(b'*').add(b'>').add(b'%').add(b'$');

/// One token of a subject.
const TOKEN: &AsciiSet = &TOPIC.add(b'.');

/// Names of consumers are names of folders on the server too.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// Linux lets the name of a folder have 255 bytes.
const NAME_BYTES: usize = 200;

/// The subjects and the consumer's name of a group that reads a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subjects {
    /// Where the records of the topic are.
    pub(super) topic: String,
    /// Where dead letters of the group are put back for the group alone.
    pub(super) replays: String,
    /// Where its dead letters are.
    pub(super) dead: String,
    /// The failures of its records, one token short.
    pub(super) failures: String,
    /// The durable consumer.
    pub(super) consumer: String,
}

impl Subjects {
    pub(super) fn new(prefix: &str, topic: &str, group: &str) -> Result<Self, BrokerError> {
        if group.is_empty() {
            return Err(refused("a group needs a name"));
        }
        let spelled = spell(topic)?;
        let token = utf8_percent_encode(group, TOKEN);
        let name = |text: &str| {
            utf8_percent_encode(text, NAME)
                .to_string()
                .replace('%', "=")
        };
        let consumer = format!("{}=={}", name(group), name(topic));
        if consumer.len() > NAME_BYTES {
            return Err(refused(format!(
                "the names of topic and group are too long together: spelled as {consumer:?}, \
                 which has {} bytes, they may have {NAME_BYTES}",
                consumer.len(),
            )));
        }
        Ok(Self {
            topic: format!("{prefix}.{spelled}"),
            replays: format!("{prefix}.$replay.{token}.{spelled}"),
            dead: format!("{prefix}_dead.{token}.{spelled}"),
            failures: format!("{prefix}_failures.{consumer}"),
            consumer,
        })
    }

    /// Where the failures of one record are, by its number in the stream.
    pub(super) fn failures_of(&self, sequence: u64) -> String {
        format!("{}.{sequence}", self.failures)
    }
}

/// The subject of a topic.
pub(super) fn subject(prefix: &str, topic: &str) -> Result<String, BrokerError> {
    Ok(format!("{prefix}.{}", spell(topic)?))
}

/// Text that may stand in a header: without line ends, and without spaces, which would be trimmed.
pub(super) fn header(text: &str) -> Cow<'_, str> {
    const HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
    percent_encode(text.as_bytes(), HEADER).into()
}

/// What [`header`] spelled; anything else as it is, as far as it can be read.
pub(super) fn from_header(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// A topic as tokens. Its dots part tokens, except where a token would be empty.
fn spell(topic: &str) -> Result<String, BrokerError> {
    const TOPIC_BYTES: usize = 255;
    if topic.is_empty() || topic.len() > TOPIC_BYTES {
        return Err(refused(format!(
            "a topic has 1 to {TOPIC_BYTES} bytes; this one has {}",
            topic.len()
        )));
    }
    let mut spelled = String::with_capacity(topic.len());
    for (n, token) in topic.split('.').enumerate() {
        if n > 0 {
            let empty = token.is_empty() || spelled.is_empty() || spelled.ends_with('.');
            spelled.push_str(if empty { "%2E" } else { "." });
        }
        spelled.extend(utf8_percent_encode(token, TOPIC));
    }
    Ok(spelled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spelled(topic: &str) -> String {
        spell(topic).unwrap()
    }

    #[test]
    fn usual_topics_stay_as_they_are() {
        assert_eq!(spelled("nft-operations-topic"), "nft-operations-topic");
        assert_eq!(spelled("achievement.unlocked"), "achievement.unlocked");
    }

    #[test]
    fn wildcards_and_empty_tokens_are_escaped() {
        assert_eq!(spelled("a.*"), "a.%2A");
        assert_eq!(spelled(">"), "%3E");
        assert_eq!(spelled("a..b"), "a%2E.b");
        assert_eq!(spelled(".a."), "%2Ea%2E");
        assert_eq!(spelled("$replay"), "%24replay");
        assert!(spell("").is_err());
    }

    #[test]
    fn names_that_are_too_long_are_refused() {
        let error = Subjects::new("services", &"é".repeat(100), "g").unwrap_err();
        let sentence = std::error::Error::source(&error).unwrap().to_string();
        assert!(sentence.contains("too long together"), "{sentence}");
    }

    proptest! {
        #[test]
        fn subjects_are_valid_and_differ(a in "[ -~é]{1,12}|[.a]{1,8}", b in "[ -~é]{1,12}|[.a]{1,8}") {
            let (x, y) = (spelled(&a), spelled(&b));
            prop_assert!(x.split('.').all(|token| !token.is_empty()), "{x}");
            prop_assert!(!x.contains([' ', '*', '>', '$']));
            prop_assert_eq!(a == b, x == y, "{} {}", x, y);
            let of = |topic: &str, group: &str| Subjects::new("s", topic, group).unwrap();
            prop_assert_eq!(a == b, of(&a, &b).consumer == of(&b, &a).consumer);
            prop_assert_eq!(a == b, of("t", &a).dead == of("t", &b).dead);
        }

        #[test]
        fn headers_come_back(text in ".{0,40}") {
            prop_assert_eq!(from_header(&header(&text)), text);
        }
    }
}
