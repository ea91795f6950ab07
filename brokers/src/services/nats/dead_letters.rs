//! The dead letters of a group.

use std::sync::Arc;

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use fanfare::BoxFuture;
use fanfare::broker::{BrokerError, BrokerErrorKind};

use super::connection::Connection;
use super::record::{from_message, to_message};
use super::subject::Subjects;
use crate::services::headers::{FAILURES, failures_from_text};
use crate::services::{Dead, DeadLetters};

#[derive(Debug)]
pub(super) struct NatsDeadLetters {
    connection: Arc<Connection>,
    subjects: Subjects,
    topic: String,
}

impl NatsDeadLetters {
    pub(super) const fn new(
        connection: Arc<Connection>,
        subjects: Subjects,
        topic: String,
    ) -> Self {
        Self {
            connection,
            subjects,
            topic,
        }
    }

    async fn stream(&self) -> Result<Stream<()>, BrokerError> {
        self.connection.open_stream(&self.connection.dead()).await
    }

    /// The oldest letter whose number is at least this.
    async fn letter(
        &self,
        stream: &Stream<()>,
        from: u64,
    ) -> Result<Option<StreamMessage>, BrokerError> {
        let request = stream
            .raw_message_builder()
            .sequence(from)
            .next_by_subject(self.subjects.dead.clone());
        match request.send().await {
            Ok(message) => Ok(Some(message)),
            Err(error) => match error.kind() {
                RawMessageErrorKind::NoMessageFound => Ok(None),
                _ => Err(unavailable(error)),
            },
        }
    }

    fn dead(&self, message: &StreamMessage) -> Dead {
        let failures = message.headers.get(FAILURES);
        let failures = failures.map(|text| failures_from_text(text.as_str()));
        Dead {
            record: from_message(
                &self.topic,
                &self.connection.dead(),
                message.sequence,
                Some(&message.headers),
                message.payload.clone(),
            ),
            failures: failures.unwrap_or_default(),
        }
    }
}

impl DeadLetters for NatsDeadLetters {
    fn list(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<Dead>, BrokerError>> {
        Box::pin(async move {
            let stream = self.stream().await?;
            let mut list = Vec::new();
            let mut from = 1;
            while list.len() < limit
                && let Some(message) = self.letter(&stream, from).await?
            {
                list.push(self.dead(&message));
                from = message.sequence + 1;
            }
            Ok(list)
        })
    }

    fn replay(&mut self, limit: usize) -> BoxFuture<'_, Result<usize, BrokerError>> {
        Box::pin(async move {
            let stream = self.stream().await?;
            // One that is given up again while this runs is behind this one.
            let last = stream
                .get_info()
                .await
                .map_err(unavailable)?
                .state
                .last_sequence;
            let mut replayed = 0;
            let mut from = 1;
            while replayed < limit
                && let Some(message) = self.letter(&stream, from).await?
                && message.sequence <= last
            {
                // To the group alone: other groups of the topic had the record long ago. Written
                // before the letter goes; if this ends in between, the server knows the copy.
                let record = self.dead(&message).record;
                let unique = format!("{} {}", self.subjects.dead, message.sequence);
                let copy = to_message(&record, &unique);
                self.connection
                    .write(self.subjects.replays.clone(), copy)
                    .await?;
                let deleted = stream.delete_message(message.sequence).await;
                // Somebody else who replays was quicker; the copy is one all the same.
                if let Err(error) = deleted
                    && self
                        .letter(&stream, message.sequence)
                        .await?
                        .is_some_and(|left| left.sequence == message.sequence)
                {
                    return Err(unavailable(error));
                }
                replayed += 1;
                from = message.sequence + 1;
            }
            Ok(replayed)
        })
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, error)
}
