//! Kafka.
//!
//! A record is a message of its topic, its key the message's key, so records of one key keep their
//! order. A group is a consumer group. What Kafka does not have is built of topics:
//!
//! | topic | holds |
//! |---|---|
//! | `{topic}` | records |
//! | `{topic}.{group}.retry.{ms}` | records that wait for a retry, by the length of the pause |
//! | `{topic}.{group}.dead` | dead letters; the offset of the consumer group of that name is how far they were replayed |
//!
//! Topics are created where they are missing, as [`Topics`] says; those for retries and dead letters
//! have one partition. Id, failures and due time are headers. Other programs may write to the topic and
//! read from it; their records need no headers, the id is topic, partition and offset then.
//!
//! An offset is committed when everything before it in the partition is settled; what is settled
//! behind it stands beside it in the commit's metadata, so that it is not delivered again either.

mod client;
mod dead_letters;
mod hands;
mod ledger;
mod names;
mod reader;
mod record;
mod settle;
mod source;
mod topics;
mod writer;

use std::sync::Arc;

use fanfare::broker::BrokerError;
use fanfare::{BoxFuture, Sink};

use self::client::Client;
use self::dead_letters::KafkaDeadLetters;
use self::names::Names;
use self::source::KafkaSource;
pub use self::topics::{TopicConfig, Topics};
use self::writer::Writer;
use super::{DeadLetters, Engine, Record, Source, Subscription};

/// The engine of Kafka, version 2.4 or newer.
///
/// A record is there for good once all replicas in sync have it. Connections are not encrypted.
#[derive(Debug)]
pub struct Kafka {
    client: Arc<Client>,
    writer: Writer,
}

impl Kafka {
    /// Connects to `kafka://host:port`, or several brokers of one cluster,
    /// `kafka://host:port,host:port`. Must be called inside a tokio runtime. Takes 5 s at most.
    ///
    /// # Errors
    /// `Unavailable` where no broker can be reached, `Rejected` where the URL is none.
    pub async fn connect(url: &str) -> Result<Self, BrokerError> {
        Self::connect_with(url, Topics::default()).await
    }

    /// Connects with other numbers for the topics that are created.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub async fn connect_with(url: &str, topics: Topics) -> Result<Self, BrokerError> {
        let client = Arc::new(Client::connect(url, topics).await?);
        let writer = Writer::start(Arc::clone(&client));
        Ok(Self { client, writer })
    }
}

impl Sink for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn publish(&self, record: Record) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.writer.publish(&record)
    }

    fn is_up(&self) -> bool {
        self.client.is_up()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.writer.finish())
    }
}

impl Engine for Kafka {
    fn open<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, BrokerError>> {
        Box::pin(async move {
            let names = Names::new(&subscription.topic, &subscription.group)?;
            let client = Arc::clone(&self.client);
            let source = KafkaSource::open(client, names, subscription.prefetch).await?;
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }

    fn dead_letters<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn DeadLetters>, BrokerError>> {
        Box::pin(async move {
            let names = Names::new(&subscription.topic, &subscription.group)?;
            self.client.check()?;
            let letters = KafkaDeadLetters::new(Arc::clone(&self.client), names);
            Ok(Box::new(letters) as Box<dyn DeadLetters>)
        })
    }
}
