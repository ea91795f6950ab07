//! Publishing in the order of the calls.

use std::sync::Arc;

use fanfare::BoxFuture;
use fanfare::broker::BrokerError;
use rdkafka::producer::future_producer::DeliveryFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::client::{Client, PATIENCE};
use super::names;
use super::record::Letter;
use crate::services::Record;
use crate::services::headers::{check, unavailable};

/// Publishes that may be under way.
const MOST_WRITES: usize = 4_096;

/// Hands publishes to the producer one after the other, because the first to a topic has to wait until
/// the topic is there, and those behind it must not overtake it.
#[derive(Debug)]
pub(super) struct Writer {
    client: Arc<Client>,
    writes: mpsc::Sender<Write>,
    /// One permit for each publish under way.
    places: Arc<Semaphore>,
}

struct Write {
    letter: Letter,
    sent: oneshot::Sender<Result<DeliveryFuture, BrokerError>>,
}

type Sent = oneshot::Receiver<Result<DeliveryFuture, BrokerError>>;

impl Writer {
    pub(super) fn start(client: Arc<Client>) -> Self {
        let (writes, queue) = mpsc::channel(MOST_WRITES);
        tokio::spawn(send_all(Arc::clone(&client), queue));
        Self {
            client,
            writes,
            places: Arc::new(Semaphore::new(MOST_WRITES)),
        }
    }

    pub(super) fn publish(&self, record: &Record) -> BoxFuture<'static, Result<(), BrokerError>> {
        match self.begin(record) {
            Ok((sent, place)) => {
                let client = Arc::clone(&self.client);
                let topic = record.topic.clone();
                Box::pin(async move {
                    let _place = place;
                    let delivery = sent.await.map_err(|_| shut_down())??;
                    let written = client.written(delivery).await;
                    if written.is_err() {
                        client.forget(&topic);
                    }
                    written
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
        let client = Arc::clone(&self.client);
        let _ = spawn_blocking(move || client.flush()).await;
    }

    fn begin(&self, record: &Record) -> Result<(Sent, OwnedSemaphorePermit), BrokerError> {
        check(record)?;
        names::check("topic", &record.topic)?;
        self.client.check()?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|error| match error {
            TryAcquireError::Closed => shut_down(),
            TryAcquireError::NoPermits => {
                unavailable(format!("{MOST_WRITES} publishes to Kafka are under way"))
            }
        })?;
        let (sent, receiver) = oneshot::channel();
        let letter = Letter::new(&record.topic, record);
        let write = Write { letter, sent };
        self.writes.try_send(write).map_err(|_| shut_down())?;
        Ok((receiver, place))
    }
}

async fn send_all(client: Arc<Client>, mut queue: mpsc::Receiver<Write>) {
    while let Some(Write { letter, sent }) = queue.recv().await {
        let ready = client.prepare_topic(&letter.topic).await;
        let _ = sent.send(ready.and_then(|()| client.send(&letter)));
    }
}

fn shut_down() -> BrokerError {
    unavailable("the connection to Kafka was shut down")
}
