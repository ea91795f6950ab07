//! The headers that a record and its history travel in, where a server keeps both as one message.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fanfare::broker::{BrokerError, BrokerErrorKind};
use serde::{Deserialize, Serialize};

use super::{Failure, Record};

/// The record's id.
pub(super) const ID: &str = "Fanfare-Id";
/// What went wrong, oldest first, as JSON: `[{"at": milliseconds, "reason": "…"}]`.
pub(super) const FAILURES: &str = "Fanfare-Failures";
/// Why a dead letter was given up, for people who look at it with the server's own tools.
pub(super) const REASON: &str = "Fanfare-Reason";
/// Not before this time, in milliseconds since 1970.
pub(super) const DUE: &str = "Fanfare-Due";

/// The longest id that is written or believed.
pub(super) const ID_BYTES: usize = 128;

const REASON_BYTES: usize = 1_000;

/// All failures together. Servers refuse headers that are too long, and a record that can never be
/// retried because its history is too long would be stuck.
const FAILURES_BYTES: usize = 48 * 1024;

#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    at: u64,
    #[serde(borrow)]
    reason: Cow<'a, str>,
}

/// Refuses a record that could not be told from others.
pub(super) fn check(record: &Record) -> Result<(), BrokerError> {
    let length = record.id.len();
    if length == 0 {
        return Err(refused("a record needs an id"));
    }
    if length > ID_BYTES {
        return Err(refused(format!(
            "the record's id has {length} bytes; it may have {ID_BYTES}"
        )));
    }
    Ok(())
}

/// The failures as text. Their number is kept whatever it is, because it is the number of attempts;
/// where they grow too long, the reasons of the oldest but one go first.
pub(super) fn failures_to_text(failures: &[Failure]) -> String {
    let mut entries: Vec<_> = failures
        .iter()
        .map(|failure| Entry {
            at: to_millis(failure.at),
            reason: Cow::Borrowed(cut(&failure.reason, REASON_BYTES)),
        })
        .collect();
    let last = entries.len().saturating_sub(1);
    let mut blank = 1;
    // In halves, so that a long history is written a few times and not once for each failure.
    loop {
        let text = serde_json::to_string(&entries).unwrap_or_default();
        if text.len() <= FAILURES_BYTES || blank >= last {
            return text;
        }
        let until = last.min(blank + (last - blank).div_ceil(2));
        for entry in &mut entries[blank..until] {
            entry.reason = Cow::Borrowed("");
        }
        blank = until;
    }
}

/// The failures with less and less said about them, for a server that refuses a message as too long: all
/// of it; how many and the last reason in brief; how many. A record that cannot be put away with its
/// history would come again for ever.
pub(super) fn in_brief(failures: Vec<Failure>) -> [Vec<Failure>; 3] {
    const BRIEF: usize = 100;
    let blank = |failure: &Failure| Failure {
        at: failure.at,
        reason: String::new(),
    };
    let counted: Vec<Failure> = failures.iter().map(blank).collect();
    let mut brief = counted.clone();
    if let (Some(brief), Some(last)) = (brief.last_mut(), failures.last()) {
        brief.reason = cut(&last.reason, BRIEF).to_owned();
    }
    [failures, brief, counted]
}

/// The failures that a text holds; none where it is no such text.
pub(super) fn failures_from_text(text: &str) -> Vec<Failure> {
    let entries: Vec<Entry<'_>> = serde_json::from_str(text).unwrap_or_default();
    entries
        .into_iter()
        .map(|entry| Failure {
            at: from_millis(entry.at),
            reason: entry.reason.into_owned(),
        })
        .collect()
}

/// The failures with one more behind them.
pub(super) fn and(failures: &[Failure], failure: Failure) -> Vec<Failure> {
    let mut all = Vec::with_capacity(failures.len() + 1);
    all.extend_from_slice(failures);
    all.push(failure);
    all
}

/// A reason in one line of printable text, at most 1,000 bytes.
pub(super) fn reason_line(reason: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    cut(reason, REASON_BYTES)
        .chars()
        .map(printable)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// Milliseconds since 1970; 0 for times before.
pub(super) fn to_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time of so many milliseconds since 1970; 1970 itself where the clock cannot say it.
pub(super) fn from_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .unwrap_or(UNIX_EPOCH)
}

/// How long it is until a time, nothing if it is over.
pub(super) fn until(due: SystemTime) -> Duration {
    due.duration_since(SystemTime::now()).unwrap_or_default()
}

pub(super) fn is_refused<T>(outcome: &Result<T, BrokerError>) -> bool {
    let error = outcome.as_ref().err();
    error.is_some_and(|error| error.kind() == BrokerErrorKind::Rejected)
}

pub(super) fn refused(sentence: impl Into<String>) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Rejected, sentence.into())
}

pub(super) fn unavailable(sentence: impl Into<String>) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, sentence.into())
}

fn cut(reason: &str, most: usize) -> &str {
    let mut end = reason.len().min(most);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failure(at: u64, reason: impl Into<String>) -> Failure {
        Failure {
            at: from_millis(at),
            reason: reason.into(),
        }
    }

    #[test]
    fn a_long_history_keeps_its_number_its_first_and_its_last() {
        let many: Vec<Failure> = (0..200).map(|n| failure(n, "x".repeat(2_000))).collect();
        let text = failures_to_text(&many);
        assert!(text.len() <= FAILURES_BYTES, "{}", text.len());
        let read = failures_from_text(&text);
        assert_eq!(read.len(), 200);
        assert!(read.iter().zip(&many).all(|(read, one)| read.at == one.at));
        let lengths: Vec<usize> = read.iter().map(|failure| failure.reason.len()).collect();
        assert_eq!((lengths[0], lengths[1], lengths[199]), (1_000, 0, 1_000));
    }

    #[test]
    fn what_is_no_history_is_none() {
        for text in [
            "",
            "null",
            "[1]",
            r#"[{"at":-1,"reason":""}]"#,
            r#"[{"at":1}]"#,
        ] {
            assert_eq!(failures_from_text(text), [], "{text}");
        }
    }

    #[test]
    fn a_brief_history_says_how_many_and_the_last() {
        let long = "é".repeat(300);
        let [all, brief, counted] = in_brief(vec![failure(1, "first"), failure(2, &*long)]);
        assert_eq!(all[1].reason, long);
        assert_eq!((&*brief[0].reason, &*brief[1].reason), ("", &long[..100]));
        assert!(counted.iter().all(|failure| failure.reason.is_empty()));
        assert_eq!(counted.len(), 2);
    }

    #[test]
    fn ids_are_checked() {
        let record = |id: &str| Record {
            topic: "t".to_owned(),
            key: String::new(),
            id: id.to_owned(),
            payload: bytes::Bytes::new(),
        };
        assert!(check(&record("1")).is_ok() && check(&record(&"x".repeat(128))).is_ok());
        assert!(check(&record("")).is_err() && check(&record(&"x".repeat(129))).is_err());
    }

    proptest! {
        #[test]
        fn histories_come_back(reasons in proptest::collection::vec("\\PC{0,40}|[\r\n\"\\\\é]{0,9}", 0..12)) {
            let failures: Vec<Failure> = reasons.iter().zip(1_700_000_000_000..).map(|(reason, at)| failure(at, reason)).collect();
            let text = failures_to_text(&failures);
            prop_assert!(!text.contains(['\r', '\n']));
            prop_assert_eq!(failures_from_text(&text), failures);
        }
    }
}
