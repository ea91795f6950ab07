//! The dead letters of a group.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fanfare::BoxFuture;
use fanfare::broker::{BrokerError, BrokerErrorKind};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use tokio::task::spawn_blocking;

use super::client::{Client, PATIENCE, config};
use super::names::Names;
use super::record::{Letter, read};
use crate::services::headers::unavailable;
use crate::services::{Dead, DeadLetters};

/// The topic has one partition, so that the letters have one order.
const PARTITION: i32 = 0;

/// Replayed before the offset is committed.
const AT_ONCE: usize = 100;

#[derive(Debug)]
pub(super) struct KafkaDeadLetters {
    client: Arc<Client>,
    names: Arc<Names>,
}

impl KafkaDeadLetters {
    pub(super) fn new(client: Arc<Client>, names: Names) -> Self {
        Self {
            client,
            names: Arc::new(names),
        }
    }

    /// The oldest that were not replayed, with the offset behind each.
    async fn oldest(&self, limit: usize) -> Result<Vec<(i64, Dead)>, BrokerError> {
        self.client.check()?;
        self.client.prepare(&self.names).await?;
        let client = Arc::clone(&self.client);
        let names = Arc::clone(&self.names);
        blocking(move || fetch(&client, &names, limit)).await
    }

    /// What is before this offset was replayed.
    async fn commit(&self, offset: i64) -> Result<(), BrokerError> {
        let client = Arc::clone(&self.client);
        let names = Arc::clone(&self.names);
        blocking(move || {
            let consumer = consumer(&client, &names)?;
            let list = list(&names, Offset::Offset(offset))?;
            let committed = consumer.commit(&list, CommitMode::Sync);
            committed.map_err(|error| failed(&error))
        })
        .await
    }
}

impl DeadLetters for KafkaDeadLetters {
    fn list(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<Dead>, BrokerError>> {
        Box::pin(async move {
            let oldest = self.oldest(limit).await?;
            Ok(oldest.into_iter().map(|(_, dead)| dead).collect())
        })
    }

    /// The copies are in line for the group's retries, due at once; other groups of the topic do not
    /// see them. If this ends before the offset is committed, some are replayed again, with their ids.
    fn replay(&mut self, limit: usize) -> BoxFuture<'_, Result<usize, BrokerError>> {
        Box::pin(async move {
            let mut replayed = 0;
            while replayed < limit {
                let letters = self.oldest(AT_ONCE.min(limit - replayed)).await?;
                let Some((last, _)) = letters.last() else {
                    break;
                };
                let last = *last;
                let topic = self.names.retry(Duration::ZERO);
                for (_, dead) in &letters {
                    let copy = Letter::new(topic, &dead.record).due(SystemTime::now(), &[]);
                    self.client.write(&copy).await?;
                }
                self.commit(last).await?;
                replayed += letters.len();
            }
            Ok(replayed)
        })
    }
}

fn fetch(client: &Client, names: &Names, limit: usize) -> Result<Vec<(i64, Dead)>, BrokerError> {
    let consumer = consumer(client, names)?;
    let committed = list(names, Offset::Invalid)?;
    let committed = consumer.committed_offsets(committed, PATIENCE);
    let committed = committed.map_err(|error| failed(&error))?;
    let (low, high) = client
        .watermarks(&names.dead, PARTITION)
        .map_err(|error| failed(&error))?;
    let from = match committed.elements().first().map(|element| element.offset()) {
        Some(Offset::Offset(offset)) => offset.max(low),
        _ => low,
    };
    let mut letters = Vec::new();
    if from >= high || limit == 0 {
        return Ok(letters);
    }
    consumer
        .assign(&list(names, Offset::Offset(from))?)
        .map_err(|error| failed(&error))?;
    let mut heard = Instant::now();
    while letters.len() < limit {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let read = read(&names.topic, &message);
                let next = message.offset() + 1;
                let dead = Dead {
                    record: read.record,
                    failures: read.failures,
                };
                letters.push((next, dead));
                if next >= high {
                    break;
                }
            }
            Some(Err(error)) => tracing::debug!(%error, "kafka: dead letters"),
            None if heard.elapsed() > PATIENCE => {
                return Err(unavailable(format!(
                    "Kafka at {} did not give the dead letters in 5 s",
                    client.servers
                )));
            }
            None => {}
        }
    }
    Ok(letters)
}

fn consumer(client: &Client, names: &Names) -> Result<BaseConsumer, BrokerError> {
    let mut config = config(&client.servers);
    config
        .set("group.id", &names.dead)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "100");
    let consumer = BaseConsumer::from_config_and_context(&config, DefaultConsumerContext);
    consumer.map_err(|error| failed(&error))
}

fn list(names: &Names, offset: Offset) -> Result<TopicPartitionList, BrokerError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&names.dead, PARTITION, offset)
        .map_err(|error| failed(&error))?;
    Ok(list)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BrokerError> + Send + 'static,
) -> Result<T, BrokerError> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| BrokerError::new(BrokerErrorKind::Unavailable, error))?
}

fn failed(error: &KafkaError) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, error.clone())
}
