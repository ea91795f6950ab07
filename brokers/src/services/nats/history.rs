//! What went wrong with records that wait for a retry.
//!
//! A refusal with a delay (`-NAK {"delay": …}`) lets the server keep the record where it is, in line
//! for its group alone, without a second copy that could be lost or doubled; but it carries no data.
//! So the failures are written first, to a subject of their own that holds the newest message only.
//! If the process ends between the two, the record comes again without the pause, knows its due time
//! from here and waits for it; the failure is not lost, and the record never was.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::RawMessageErrorKind;
use fanfare::broker::{BrokerError, BrokerErrorKind};
use futures_util::TryStreamExt as _;

use super::connection::Connection;
use super::subject::{Subjects, from_header, header};
use crate::services::Failure;
use crate::services::headers::{
    DUE, ID, failures_from_text, failures_to_text, from_millis, to_millis,
};

#[derive(Debug)]
pub(super) struct History {
    connection: Arc<Connection>,
    subjects: Subjects,
}

/// What is known about a record that failed before.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) due: SystemTime,
    pub(super) failures: Vec<Failure>,
}

impl History {
    pub(super) const fn new(connection: Arc<Connection>, subjects: Subjects) -> Self {
        Self {
            connection,
            subjects,
        }
    }

    /// What is known about the record of this number and id. Asks the stream's leader: a copy that
    /// lags behind would forget an attempt.
    pub(super) async fn of(&self, sequence: u64, id: &str) -> Result<Option<Past>, BrokerError> {
        let stream = self.stream().await?;
        let subject = self.subjects.failures_of(sequence);
        let message = match stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => message,
            Err(error) => {
                return match error.kind() {
                    RawMessageErrorKind::NoMessageFound => Ok(None),
                    _ => Err(unavailable(error)),
                };
            }
        };
        let header = |name: &str| {
            let value = message.headers.get(name);
            value.map(|value| from_header(value.as_str()))
        };
        // A stream that was deleted and created again counts from 1 again.
        if header(ID).as_deref() != Some(id) {
            return Ok(None);
        }
        let due = header(DUE).and_then(|due| due.parse().ok());
        let text = String::from_utf8_lossy(&message.payload);
        Ok(Some(Past {
            due: from_millis(due.unwrap_or_default()),
            failures: failures_from_text(&text),
        }))
    }

    /// The numbers of all records of the group that something is known about.
    pub(super) async fn known(&self) -> Result<HashSet<u64>, BrokerError> {
        let stream = self.stream().await?;
        let filter = format!("{}.*", self.subjects.failures);
        let subjects = stream.info_with_subjects(filter).await;
        let number = |subject: &str| subject.rsplit('.').next()?.parse::<u64>().ok();
        subjects
            .map_err(unavailable)?
            .try_filter_map(|(subject, _)| std::future::ready(Ok(number(&subject))))
            .try_collect()
            .await
            .map_err(unavailable)
    }

    pub(super) async fn write(
        &self,
        sequence: u64,
        id: &str,
        due: SystemTime,
        failures: &[Failure],
    ) -> Result<(), BrokerError> {
        let mut headers = HeaderMap::new();
        headers.insert(ID, &*header(id));
        headers.insert(DUE, to_millis(due).to_string().as_str());
        let message = PublishMessage::build()
            .headers(headers)
            .payload(failures_to_text(failures).into());
        let subject = self.subjects.failures_of(sequence);
        self.connection.write(subject, message).await
    }

    /// Forgets a record that is settled for good. What stays because the server went away is no
    /// harm: its number never comes again, and it goes when the record would.
    pub(super) async fn forget(&self, sequence: u64) {
        let forgotten = async {
            let stream = self.stream().await?;
            let subject = self.subjects.failures_of(sequence);
            stream.purge().filter(subject).await.map_err(unavailable)
        };
        if let Err(error) = forgotten.await {
            tracing::debug!(?error, sequence, "failures of a settled record stay");
        }
    }

    async fn stream(&self) -> Result<async_nats::jetstream::stream::Stream<()>, BrokerError> {
        self.connection
            .open_stream(&self.connection.failures())
            .await
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, error)
}
