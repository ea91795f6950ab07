//! Publishing in the order of the calls.

use std::sync::Arc;

use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use fanfare::BoxFuture;
use fanfare::broker::BrokerError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::connection::{Connection, MOST_WRITES, PATIENCE, not_written};
use super::record::to_message;
use super::subject::subject;
use crate::services::Record;
use crate::services::headers::{check, unavailable};

/// Hands publishes to the connection one after the other. A future that is polled late would
/// otherwise be overtaken by one of a later call.
#[derive(Debug)]
pub(super) struct Writer {
    writes: mpsc::Sender<Write>,
    connection: Arc<Connection>,
    /// One permit for each publish under way.
    places: Arc<Semaphore>,
}

struct Write {
    subject: String,
    message: PublishMessage,
    until: Instant,
    sent: oneshot::Sender<Result<PublishAckFuture, BrokerError>>,
}

impl Writer {
    pub(super) fn start(connection: Arc<Connection>) -> Self {
        let (writes, queue) = mpsc::channel(MOST_WRITES);
        tokio::spawn(send_all(Arc::clone(&connection), queue));
        Self {
            writes,
            connection,
            places: Arc::new(Semaphore::new(MOST_WRITES)),
        }
    }

    pub(super) fn write(&self, record: &Record) -> BoxFuture<'static, Result<(), BrokerError>> {
        let until = Instant::now() + PATIENCE;
        match self.begin(record, until) {
            Ok((sent, place)) => {
                let connection = Arc::clone(&self.connection);
                Box::pin(async move {
                    let _place = place;
                    let acknowledged = async {
                        let sent = sent.await.map_err(|_| shut_down())??;
                        sent.await.map_err(not_written)
                    };
                    connection.before(until, acknowledged).await?;
                    Ok(())
                })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    /// Waits for what is under way, 5 s at most, and takes no more.
    pub(super) async fn finish(&self) {
        #[expect(clippy::cast_possible_truncation, reason = "4,096")]
        let all = self.places.acquire_many(MOST_WRITES as u32);
        let _ = tokio::time::timeout(PATIENCE, all).await;
        self.places.close();
    }

    fn begin(
        &self,
        record: &Record,
        until: Instant,
    ) -> Result<
        (
            oneshot::Receiver<Result<PublishAckFuture, BrokerError>>,
            tokio::sync::OwnedSemaphorePermit,
        ),
        BrokerError,
    > {
        check(record)?;
        self.connection.check()?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|error| match error {
            tokio::sync::TryAcquireError::Closed => shut_down(),
            tokio::sync::TryAcquireError::NoPermits => {
                unavailable(format!("{MOST_WRITES} publishes to NATS are under way"))
            }
        })?;
        // The topic is part of it: one event may go to several topics, and the server looks for
        // duplicates in the whole stream.
        let unique = format!("{} {}", record.id, record.topic);
        let (sent, receiver) = oneshot::channel();
        let write = Write {
            subject: subject(&self.connection.config.prefix, &record.topic)?,
            message: to_message(record, &unique),
            until,
            sent,
        };
        self.writes.try_send(write).map_err(|_| shut_down())?;
        Ok((receiver, place))
    }
}

async fn send_all(connection: Arc<Connection>, mut queue: mpsc::Receiver<Write>) {
    while let Some(write) = queue.recv().await {
        let sent = async {
            connection.check()?;
            let sent = connection
                .context
                .send_publish(write.subject, write.message);
            sent.await.map_err(not_written)
        };
        let sent = timeout_at(write.until, sent).await;
        let sent = sent.unwrap_or_else(|_| Err(connection.silent()));
        let _ = write.sent.send(sent);
    }
}

fn shut_down() -> BrokerError {
    unavailable("the connection to NATS was shut down")
}
