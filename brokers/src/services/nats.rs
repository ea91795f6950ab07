//! NATS JetStream.
//!
//! All records are in one stream, a topic is a subject of it: `services.orders.created`. It is kept
//! by limits, not by interest, so a group that begins to read has all that the limits left. A group
//! that reads a topic is a durable pull consumer with explicit acknowledgements; its two filters are
//! the topic and the subject where the group's own dead letters are put back.
//!
//! | stream | subjects | holds |
//! |---|---|---|
//! | `FANFARE_SERVICES` | `services.>` | records |
//! | `FANFARE_SERVICES_DEAD` | `services_dead.>` | dead letters, until they are replayed |
//! | `FANFARE_SERVICES_FAILURES` | `services_failures.>` | what went wrong with records that wait for a retry |
//!
//! Other programs may write to `services.{topic}` and read from it. Their records need no headers:
//! the id is `Nats-Msg-Id` where they set it, else the number in the stream.

mod connection;
mod dead_letters;
mod hands;
mod history;
mod pump;
mod record;
mod settle;
mod source;
mod subject;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use fanfare::broker::BrokerError;
use fanfare::{BoxFuture, Sink};

use self::connection::Connection;
use self::dead_letters::NatsDeadLetters;
use self::source::NatsSource;
use self::subject::Subjects;
use self::writer::Writer;
use super::{DeadLetters, Engine, Record, Source, Subscription};

/// The engine of NATS JetStream, server 2.10 or newer.
///
/// What was acknowledged is on the server's disk as far as its `sync_interval` says, 2 minutes by
/// default: a killed server loses nothing, one whose machine loses power may.
#[derive(Debug)]
pub struct Nats {
    connection: Arc<Connection>,
    writer: Writer,
}

/// How [`Nats`] keeps records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The stream of records, and how the names of the other two begin. Created where it is missing;
    /// one that exists is taken as it is. `FANFARE_SERVICES`.
    pub stream: String,
    /// The first token of all subjects. Streams of one server need different ones. `services`.
    pub prefix: String,
    /// How long records are kept, read or not. Costs disk. 7 days.
    pub max_age: Duration,
    /// The most bytes that are kept; the oldest records go first, read or not. The server reserves so
    /// much of its disk. None: as much as the server has; it refuses records then, and loses none.
    pub max_bytes: Option<u64>,
    /// Copies in a cluster, 1 to 5. Costs disk and time to publish. 1.
    pub replicas: u8,
    /// How long after the end of a process its unsettled records come again. Shorter costs a few
    /// bytes more often for each record in hand. Also how much later than wished a retry may come
    /// after the server was killed, which may forget it. 15 s, at least 1 s.
    pub ack_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stream: "FANFARE_SERVICES".to_owned(),
            prefix: "services".to_owned(),
            max_age: Duration::from_secs(7 * 24 * 3600),
            max_bytes: None,
            replicas: 1,
            ack_wait: Duration::from_secs(15),
        }
    }
}

impl Nats {
    /// Connects to `nats://[user:password@]host[:port]`, or `tls://…`, and creates the streams where
    /// they are missing. `nats+jetstream://` is understood as `nats://`. Must be called inside a
    /// tokio runtime. Takes 5 s at most.
    ///
    /// # Errors
    /// `Unavailable` where the server cannot be reached, `Rejected` where the URL is none, the server
    /// is older than 2.10 or has no JetStream, or the streams cannot be had.
    pub async fn connect(url: &str) -> Result<Self, BrokerError> {
        Box::pin(Self::connect_with(url, Config::default())).await
    }

    /// Connects with another way of keeping records.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub async fn connect_with(url: &str, config: Config) -> Result<Self, BrokerError> {
        let connection = Arc::new(Box::pin(Connection::new(url, config)).await?);
        let writer = Writer::start(Arc::clone(&connection));
        Ok(Self { connection, writer })
    }

    fn subjects(&self, subscription: &Subscription) -> Result<Subjects, BrokerError> {
        let Subscription { topic, group, .. } = subscription;
        Subjects::new(&self.connection.config.prefix, topic, group)
    }
}

impl Sink for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn publish(&self, record: Record) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.writer.write(&record)
    }

    fn is_up(&self) -> bool {
        self.connection.is_up()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.writer.finish().await;
            self.connection.close().await;
        })
    }
}

impl Engine for Nats {
    fn open<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, BrokerError>> {
        Box::pin(async move {
            let subjects = self.subjects(subscription)?;
            let connection = Arc::clone(&self.connection);
            let source = Box::pin(NatsSource::open(connection, subjects, subscription)).await?;
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }

    fn dead_letters<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn DeadLetters>, BrokerError>> {
        Box::pin(async move {
            let subjects = self.subjects(subscription)?;
            self.connection.check()?;
            let connection = Arc::clone(&self.connection);
            let topic = subscription.topic.clone();
            let letters = NatsDeadLetters::new(connection, subjects, topic);
            Ok(Box::new(letters) as Box<dyn DeadLetters>)
        })
    }
}
