//! Records as Kafka messages.

use std::time::SystemTime;

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};
use rdkafka::producer::FutureRecord;

use crate::services::headers::{
    DUE, FAILURES, ID, ID_BYTES, REASON, failures_from_text, failures_to_text, from_millis,
    reason_line, to_millis,
};
use crate::services::{Failure, Record};

/// A message to be written.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) topic: String,
    key: String,
    headers: OwnedHeaders,
    payload: Bytes,
}

/// A message that was read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) record: Record,
    pub(super) failures: Vec<Failure>,
    pub(super) due: Option<SystemTime>,
}

impl Letter {
    pub(super) fn new(topic: &str, record: &Record) -> Self {
        Self {
            topic: topic.to_owned(),
            key: record.key.clone(),
            headers: with(OwnedHeaders::new(), ID, &record.id),
            payload: record.payload.clone(),
        }
    }

    /// One that waits until it is due.
    pub(super) fn due(self, due: SystemTime, failures: &[Failure]) -> Self {
        let headers = with(self.headers, DUE, &to_millis(due).to_string());
        Self {
            headers: with(headers, FAILURES, &failures_to_text(failures)),
            ..self
        }
    }

    /// One that was given up.
    pub(super) fn dead(self, failures: &[Failure]) -> Self {
        let reason = failures.last().map(|failure| reason_line(&failure.reason));
        let headers = with(self.headers, REASON, &reason.unwrap_or_default());
        Self {
            headers: with(headers, FAILURES, &failures_to_text(failures)),
            ..self
        }
    }

    pub(super) fn as_message(&self) -> FutureRecord<'_, str, [u8]> {
        let message = FutureRecord::to(&self.topic)
            .payload(&self.payload[..])
            .headers(self.headers.clone());
        // Records without a key go anywhere; with an empty one, all would go to one partition.
        if self.key.is_empty() {
            message
        } else {
            message.key(&*self.key)
        }
    }
}

/// The record in a message, whoever wrote it. `topic` is the one that the group reads.
pub(super) fn read(topic: &str, message: &BorrowedMessage<'_>) -> Read {
    let text = |name: &str| {
        let headers = message.headers()?;
        let header = headers.iter().find(|header| header.key == name)?;
        Some(String::from_utf8_lossy(header.value?).into_owned())
    };
    let id = text(ID).filter(|id| !id.is_empty() && id.len() <= ID_BYTES);
    Read {
        record: Record {
            topic: topic.to_owned(),
            key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
            id: id.unwrap_or_else(|| place(message)),
            payload: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        },
        failures: text(FAILURES).map_or_else(Vec::new, |text| failures_from_text(&text)),
        due: text(DUE).and_then(|due| due.parse().ok()).map(from_millis),
    }
}

/// Topic, partition and offset, which no other record has; as much of the topic as fits.
fn place(message: &BorrowedMessage<'_>) -> String {
    let number = format!("-{}-{}", message.partition(), message.offset());
    let topic = message.topic();
    let fits = topic.len().min(ID_BYTES - number.len());
    format!("{}{number}", &topic[..fits])
}

fn with(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header {
        key,
        value: Some(value),
    })
}
