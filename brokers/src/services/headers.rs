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
            reason: Cow::Borrowed(cut(&failure.reason)),
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
    cut(reason)
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
#[cfg(feature = "nats")]
pub(super) fn until(due: SystemTime) -> Duration {
    due.duration_since(SystemTime::now()).unwrap_or_default()
}

pub(super) fn refused(sentence: impl Into<String>) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Rejected, sentence.into())
}

pub(super) fn unavailable(sentence: impl Into<String>) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, sentence.into())
}

fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}
