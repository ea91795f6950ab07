//! Records as NATS messages.

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;

use super::subject::{from_header, header};
use crate::services::headers::{FAILURES, ID, ID_BYTES, REASON, failures_to_text, reason_line};
use crate::services::{Failure, Record};

/// The record's key.
const KEY: &str = "Fanfare-Key";

/// A record as it is published. `unique` tells this copy of it from every other in the stream.
pub(super) fn to_message(record: &Record, unique: &str) -> PublishMessage {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, &*header(unique));
    headers.insert(ID, &*header(&record.id));
    if !record.key.is_empty() {
        headers.insert(KEY, &*header(&record.key));
    }
    PublishMessage::build()
        .payload(record.payload.clone())
        .headers(headers)
}

/// A dead letter as it is published.
pub(super) fn to_dead_letter(
    record: &Record,
    failures: &[Failure],
    unique: &str,
) -> PublishMessage {
    let reason = failures.last().map(|failure| reason_line(&failure.reason));
    to_message(record, unique)
        .header(REASON, reason.unwrap_or_default().as_str())
        .header(FAILURES, failures_to_text(failures).as_str())
}

/// The record in a message, whoever wrote it.
pub(super) fn from_message(
    topic: &str,
    stream: &str,
    sequence: u64,
    headers: Option<&HeaderMap>,
    payload: Bytes,
) -> Record {
    let text = |name: &str| {
        headers
            .and_then(|headers| headers.get(name))
            .map(|value| from_header(value.as_str()))
    };
    let id = text(ID)
        .or_else(|| text(NATS_MESSAGE_ID.as_ref()))
        .filter(|id| !id.is_empty() && id.len() <= ID_BYTES);
    Record {
        topic: topic.to_owned(),
        key: text(KEY).unwrap_or_default(),
        id: id.unwrap_or_else(|| format!("{stream}-{sequence}")),
        payload,
    }
}
