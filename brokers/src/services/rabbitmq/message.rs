//! Records as AMQP messages, and messages of any publisher as records.
//!
//! | where | what |
//! |---|---|
//! | routing key, or header `fanfare-topic` after a detour | the topic |
//! | property `message_id` | the id |
//! | header `fanfare-key` | the key |
//! | header `fanfare-failures` | what went wrong: tables of `at` (Unix time in ms) and `reason` |
//! | headers `fanfare-queue`, `fanfare-reason` of a dead letter | whose it is, and why it was given up |

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};
use uuid::Uuid;

use crate::services::engine::{Failure, Record};

const KEY: &str = "fanfare-key";
const TOPIC: &str = "fanfare-topic";
const FAILURES: &str = "fanfare-failures";
const QUEUE: &str = "fanfare-queue";
const REASON: &str = "fanfare-reason";
/// Bytes that all reasons of a record may have together: its headers have to fit into one frame,
/// 128 KiB as a rule, with whatever else its publisher put there.
const REASONS: usize = 32 * 1024;
/// More failures than that are not read; no retry policy makes more.
const MOST_FAILURES: usize = 1_000;
const ID_BYTES: usize = 128;

/// A message on its way: a record, its past, and what else its publisher wrote on it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) record: Record,
    pub(super) failures: Vec<Failure>,
    /// Properties and headers that are not ours.
    rest: BasicProperties,
}

impl Message {
    /// A record that is published for the first time.
    pub(super) fn new(record: Record) -> Self {
        Self {
            record,
            failures: Vec::new(),
            rest: BasicProperties::default().with_content_type("application/json".into()),
        }
    }

    /// What was delivered. A message whose publisher gave it no id gets one with each delivery: two
    /// of the same content are two.
    pub(super) fn read(routing_key: &str, properties: &BasicProperties, data: Vec<u8>) -> Self {
        let id = properties.message_id().as_ref().map(ShortString::as_str);
        let headers = properties.headers().as_ref();
        let record = Record {
            topic: headers
                .and_then(|headers| string(headers, TOPIC))
                .unwrap_or_else(|| routing_key.to_owned()),
            key: headers
                .and_then(|headers| string(headers, KEY))
                .unwrap_or_default(),
            id: id.map_or_else(|| Uuid::now_v7().to_string(), bounded_id),
            payload: Bytes::from(data),
        };
        Self {
            record,
            failures: headers.map(failures).unwrap_or_default(),
            rest: without_ours(properties),
        }
    }

    /// As a message that comes straight from its publisher.
    pub(super) fn published(&self) -> BasicProperties {
        let headers = self.headers();
        self.with_headers(headers)
    }

    /// As a message that goes to its group's queue by a detour, so that its routing key is lost.
    pub(super) fn detoured(&self) -> BasicProperties {
        let mut headers = self.headers();
        headers.insert(TOPIC.into(), text(&self.record.topic));
        self.with_headers(headers)
    }

    /// As a dead letter of a queue.
    pub(super) fn dead(&self, queue: &str) -> BasicProperties {
        let mut headers = self.headers();
        headers.insert(TOPIC.into(), text(&self.record.topic));
        headers.insert(QUEUE.into(), text(queue));
        if let Some(last) = self.failures.last() {
            headers.insert(REASON.into(), text(&last.reason));
        }
        self.with_headers(headers)
    }

    fn headers(&self) -> FieldTable {
        let mut headers = self.rest.headers().clone().unwrap_or_default();
        if !self.record.key.is_empty() {
            headers.insert(KEY.into(), text(&self.record.key));
        }
        if !self.failures.is_empty() {
            let each = REASONS / self.failures.len();
            let failures = self.failures.iter().map(|failure| table(failure, each));
            let failures = FieldArray::from(failures.collect::<Vec<_>>());
            headers.insert(FAILURES.into(), AMQPValue::FieldArray(failures));
        }
        headers
    }

    fn with_headers(&self, headers: FieldTable) -> BasicProperties {
        // Persistent.
        let properties = self.rest.clone().with_delivery_mode(2);
        let properties = match ShortString::try_new(&*self.record.id) {
            Ok(id) => properties.with_message_id(id),
            Err(_) => properties.with_message_id(ShortString::from(bounded_id(&self.record.id))),
        };
        properties.with_headers(headers)
    }
}

/// Whose dead letter a message is, and why.
#[derive(Debug, Default)]
pub(super) struct Epitaph {
    pub(super) queue: Option<String>,
    /// The routing key that it had before the server changed it.
    pub(super) routing_key: Option<String>,
    /// Why the server itself gave it up, where it did.
    pub(super) reason: Option<Failure>,
}

impl Epitaph {
    pub(super) fn read(properties: &BasicProperties) -> Self {
        let Some(headers) = properties.headers() else {
            return Self::default();
        };
        // The server's notes are about the retries, where the record was given up here.
        if let Some(queue) = string(headers, QUEUE) {
            return Self {
                queue: Some(queue),
                ..Self::default()
            };
        }
        let Some(died) = Died::read(headers) else {
            return Self::default();
        };
        Self {
            reason: Some(Failure {
                at: died.at,
                reason: format!("{} in queue {}", died.reason, died.queue),
            }),
            queue: Some(died.queue),
            routing_key: died.routing_key,
        }
    }
}

/// The newest entry of the header in which the server notes how a message came to be a dead letter.
struct Died {
    queue: String,
    /// `rejected`, `expired`, `maxlen` or `delivery_limit`.
    reason: String,
    routing_key: Option<String>,
    at: SystemTime,
}

impl Died {
    fn read(headers: &FieldTable) -> Option<Self> {
        let deaths = headers.inner().get("x-death")?.as_array()?;
        let death = deaths.as_slice().first()?.as_field_table()?;
        let keys = death.inner().get("routing-keys");
        let key = keys.and_then(|keys| keys.as_array()?.as_slice().first());
        let seconds = death.inner().get("time").and_then(AMQPValue::as_timestamp);
        Some(Self {
            queue: string(death, "queue")?,
            reason: string(death, "reason")?,
            routing_key: key.and_then(as_string),
            at: UNIX_EPOCH
                .checked_add(Duration::from_secs(seconds.unwrap_or_default()))
                .unwrap_or(UNIX_EPOCH),
        })
    }
}

/// What is passed on of a message's properties. Not its expiration, which would end it while it waits
/// for a retry; not its user id, which has to be that of whoever publishes; not the headers that make
/// the server send copies; not the server's own notes.
fn without_ours(properties: &BasicProperties) -> BasicProperties {
    let mut rest = BasicProperties::default();
    if let Some(value) = properties.content_type() {
        rest = rest.with_content_type(value.clone());
    }
    if let Some(value) = properties.content_encoding() {
        rest = rest.with_content_encoding(value.clone());
    }
    if let Some(value) = properties.priority() {
        rest = rest.with_priority(*value);
    }
    if let Some(value) = properties.correlation_id() {
        rest = rest.with_correlation_id(value.clone());
    }
    if let Some(value) = properties.reply_to() {
        rest = rest.with_reply_to(value.clone());
    }
    if let Some(value) = properties.timestamp() {
        rest = rest.with_timestamp(*value);
    }
    if let Some(value) = properties.kind() {
        rest = rest.with_type(value.clone());
    }
    if let Some(value) = properties.app_id() {
        rest = rest.with_app_id(value.clone());
    }
    let mut headers = FieldTable::default();
    for (name, value) in properties.headers().iter().flatten() {
        let ours = [KEY, TOPIC, FAILURES, QUEUE, REASON].contains(&name.as_str());
        let servers = name.as_str().starts_with("x-") && name.as_str().contains("death")
            || ["x-delivery-count", "CC", "BCC"].contains(&name.as_str());
        if !ours && !servers {
            headers.insert(name.clone(), value.clone());
        }
    }
    rest.with_headers(headers)
}

fn failures(headers: &FieldTable) -> Vec<Failure> {
    let failures = headers.inner().get(FAILURES).and_then(AMQPValue::as_array);
    let failures = failures.map_or(&[][..], FieldArray::as_slice).iter();
    let failures = failures.filter_map(|failure| {
        let failure = failure.as_field_table()?;
        let at = failure.inner().get("at")?.as_long_long_int()?;
        let at = Duration::from_millis(u64::try_from(at).ok()?);
        Some(Failure {
            at: UNIX_EPOCH.checked_add(at)?,
            reason: string(failure, "reason")?,
        })
    });
    failures.take(MOST_FAILURES).collect()
}

fn table(failure: &Failure, most: usize) -> AMQPValue {
    let at = failure.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    let mut table = FieldTable::default();
    table.insert("at".into(), AMQPValue::LongLongInt(at));
    table.insert("reason".into(), text(cut(&failure.reason, most)));
    AMQPValue::FieldTable(table)
}

/// An id within its bounds; longer ones keep their beginning, and what tells them apart.
fn bounded_id(id: &str) -> String {
    if id.len() <= ID_BYTES {
        return id.to_owned();
    }
    // FNV-1a: the same on every machine and in every version, unlike the standard library's.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{}~{hash:016x}", cut(id, ID_BYTES - 17))
}

fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn string(headers: &FieldTable, name: &str) -> Option<String> {
    headers.inner().get(name).and_then(as_string)
}

fn as_string(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(value) => Some(value.to_string()),
        AMQPValue::ShortString(value) => Some(value.to_string()),
        _ => None,
    }
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            topic: "quest.completed".into(),
            key: "user-456".into(),
            id: "0190".into(),
            payload: Bytes::from_static(b"{}"),
        }
    }

    fn failure(number: u64, reason: &str) -> Failure {
        Failure {
            at: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123 + number),
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn a_record_comes_back_as_it_went() {
        let mut message = Message::new(record());
        let read = Message::read("quest.completed", &message.published(), b"{}".to_vec());
        assert_eq!((read.record, read.failures), (record(), vec![]));
        message.failures = vec![failure(1, "no mail server"), failure(2, "timeout")];
        let read = Message::read("quest_events", &message.detoured(), b"{}".to_vec());
        assert_eq!(read.record, record());
        assert_eq!(read.failures, message.failures);
        let dead = message.dead("quest_events");
        assert_eq!(Epitaph::read(&dead).queue.as_deref(), Some("quest_events"));
        let read = Message::read("error.quest", &dead, b"{}".to_vec());
        assert_eq!((read.record, read.failures), (record(), message.failures));
    }

    #[test]
    fn histories_are_bounded_and_counted_in_full() {
        let mut message = Message::new(record());
        message.failures = (0..100).map(|n| failure(n, &"ü".repeat(500))).collect();
        let read = Message::read("q", &message.detoured(), Vec::new());
        assert_eq!(read.failures.len(), 100);
        let bytes = read.failures.iter().map(|failure| failure.reason.len());
        assert!(bytes.sum::<usize>() <= REASONS);
    }

    #[test]
    fn what_others_wrote_is_passed_on_but_for_what_does_harm() {
        let mut headers = FieldTable::default();
        headers.insert("tenant".into(), text("acme"));
        headers.insert(
            "CC".into(),
            FieldArray::from(vec![text("elsewhere")]).into(),
        );
        headers.insert("x-death".into(), FieldArray::default().into());
        let foreign = BasicProperties::default()
            .with_type("quest".into())
            .with_expiration("1000".into())
            .with_user_id("guest".into())
            .with_headers(headers);
        let read = Message::read("quest.started", &foreign, b"hello".to_vec());
        assert_eq!(read.record.topic, "quest.started");
        assert!(!read.record.id.is_empty() && read.record.key.is_empty());
        let passed_on = read.detoured();
        assert_eq!(
            passed_on.kind().as_ref().map(ShortString::as_str),
            Some("quest")
        );
        assert_eq!(
            (passed_on.expiration(), passed_on.user_id()),
            (&None, &None)
        );
        let headers = passed_on.headers().clone().unwrap();
        let names = headers.inner().keys().map(ShortString::as_str);
        assert_eq!(names.collect::<Vec<_>>(), ["fanfare-topic", "tenant"]);
    }

    #[test]
    fn long_ids_stay_apart() {
        let (one, other) = ("x".repeat(200) + "1", "x".repeat(200) + "2");
        assert_eq!(bounded_id(&one).len(), ID_BYTES);
        assert_ne!(bounded_id(&one), bounded_id(&other));
        assert_eq!(bounded_id(&one), bounded_id(&one));
    }
}
