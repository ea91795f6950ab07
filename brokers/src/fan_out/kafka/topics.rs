//! The topics of a cluster of nodes, and which incarnation of them there is.
//!
//! Kafka tells its clients the id of a topic, but librdkafka does not hand it on through its crate. So
//! an incarnation is named by a number that is drawn when the topic is created and kept in its
//! configuration, where it comes and goes with the topic: as `delete.retention.ms`, which means
//! something for compacted topics only. Its last bits count how often the log has lost its end.

use std::sync::Arc;
use std::time::Duration;

use fanfare::LANES;
use fanfare::broker::{BrokerError, BrokerErrorKind};
use rdkafka::ClientContext;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigEntry, ConfigSource, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::config::{Config, divides_lanes};
use super::writer::Writer;
use super::{blocking, unavailable};

const INCARNATION: &str = "delete.retention.ms";
/// The bits of the number that count how often the log has lost its end.
const LOSSES: u32 = 10;
/// What is live is read at once or never.
const LIVE_RETENTION: &str = "60000";
/// How long one request may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// The topics of a cluster.
pub(super) struct Topics {
    admin: AdminClient<Quiet>,
    config: Config,
    pub(super) events: String,
    pub(super) live: String,
}

/// One incarnation of the topic of the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    topic: String,
    /// Drawn when the topic is created, and one more each time that it has lost its end.
    number: u64,
    pub(super) partitions: usize,
}

impl Log {
    pub(super) fn new(topic: &str, number: u64, partitions: usize) -> Self {
        Self {
            topic: topic.to_owned(),
            number,
            partitions,
        }
    }

    /// Another for each incarnation, the same for all nodes.
    pub(super) fn identity(&self) -> String {
        format!("{}#{}/{}", self.topic, self.number, self.partitions)
    }

    /// Whether it is the same topic, which has lost its end once more or less.
    pub(super) fn is_continued_by(&self, other: &Self) -> bool {
        let created = |log: &Self| log.number >> LOSSES;
        (&self.topic, self.partitions, created(self))
            == (&other.topic, other.partitions, created(other))
    }
}

impl Topics {
    pub(super) fn new(config: &Config) -> Result<Self, KafkaError> {
        Ok(Self {
            admin: AdminClient::from_config_and_context(&config.client(), Quiet)?,
            events: config.events_topic(),
            live: config.live_topic(),
            config: config.clone(),
        })
    }

    /// Creates what is missing and waits until both topics can be written and read.
    pub(super) async fn ready(
        &self,
        writer: &Arc<Writer>,
        until: Instant,
    ) -> Result<Log, BrokerError> {
        let partitions = self.usable(writer, &self.events, until).await?;
        self.usable(writer, &self.live, until).await?;
        if !divides_lanes(partitions) {
            let text = format!(
                "the topic {} has {partitions} partitions, which is no divisor of {LANES}",
                self.events
            );
            return Err(BrokerError::new(BrokerErrorKind::Rejected, text));
        }
        loop {
            match self.log(partitions).await {
                Ok(log) => return Ok(log),
                // Another broker than the one that created the topic may not know it yet.
                Err(error) if Instant::now() >= until => return Err(error),
                Err(error) => debug!(?error, "Kafka does not describe its topics yet"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Which incarnation there is. One that was created by others is given its number here.
    pub(super) async fn log(&self, partitions: usize) -> Result<Log, BrokerError> {
        let entries = self.described().await?;
        let own = entries
            .iter()
            .find(|entry| entry.name == INCARNATION && entry.source == ConfigSource::DynamicTopic);
        let number = own.and_then(|entry| entry.value.as_ref()?.parse().ok());
        let Some(number) = number else {
            self.renumber(&entries, drawn()).await?;
            return Err(unavailable("the topic was just given its number"));
        };
        Ok(Log::new(&self.events, number, partitions))
    }

    /// Gives the log another identity, for all nodes, unless it has another than `log` already: it has
    /// lost its end, and gives its offsets a second time. All nodes that notice give it the same.
    pub(super) async fn continue_from(&self, log: &Log) -> Result<(), BrokerError> {
        let entries = self.described().await?;
        if self.log(log.partitions).await? == *log {
            self.renumber(&entries, log.number + 1).await?;
        }
        Ok(())
    }

    async fn renumber(&self, entries: &[ConfigEntry], number: u64) -> Result<(), BrokerError> {
        let number = number.to_string();
        // What is not named goes back to its default.
        let mut altered = AlterConfig::new(ResourceSpecifier::Topic(&self.events));
        for entry in entries {
            if entry.source == ConfigSource::DynamicTopic
                && let Some(value) = &entry.value
            {
                altered = altered.set(&entry.name, value);
            }
        }
        altered = altered.set(INCARNATION, &number);
        info!(topic = %self.events, number, "giving the log another identity");
        let results = self.admin.alter_configs([&altered], &options()).await;
        let refused =
            |error: String| unavailable(format!("{} cannot be altered: {error}", self.events));
        match results.map_err(|error| refused(error.to_string()))?.pop() {
            Some(Err((_, code))) => Err(refused(code.to_string())),
            _ => Ok(()),
        }
    }

    async fn described(&self) -> Result<Vec<ConfigEntry>, BrokerError> {
        let topic = ResourceSpecifier::Topic(&self.events);
        let refused =
            |error: String| unavailable(format!("{} is not described: {error}", self.events));
        let described = self.admin.describe_configs([&topic], &options()).await;
        match described.map_err(|error| refused(error.to_string()))?.pop() {
            Some(Ok(resource)) => Ok(resource.entries),
            Some(Err(code)) => Err(refused(code.to_string())),
            None => Err(refused("an empty answer".to_owned())),
        }
    }

    /// The partitions of a topic, once each has a leader.
    async fn usable(
        &self,
        writer: &Arc<Writer>,
        topic: &str,
        until: Instant,
    ) -> Result<usize, BrokerError> {
        loop {
            let seen = match Self::look(writer, topic, ANSWERED_WITHIN).await {
                Seen::Usable(partitions) => return Ok(partitions),
                Seen::Missing => match self.create(topic).await {
                    Ok(()) => "is being created".to_owned(),
                    Err(error) if error.kind() == BrokerErrorKind::Rejected => return Err(error),
                    Err(error) => format!("is missing: {error:?}"),
                },
                Seen::Refused(error) => {
                    return Err(BrokerError::new(
                        BrokerErrorKind::Rejected,
                        format!("the topic {topic} cannot be used: {error}"),
                    ));
                }
                Seen::Not(what) => what,
                Seen::Silent(error) => format!("cannot be asked for: {error}"),
            };
            if Instant::now() >= until {
                return Err(unavailable(format!("the topic {topic} {seen}")));
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks about a topic.
    pub(super) async fn look(writer: &Arc<Writer>, topic: &str, within: Duration) -> Seen {
        let name = topic.to_owned();
        let writer = writer.clone();
        let metadata = blocking(move || writer.ask(&name, within)).await;
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => return Seen::Silent(error.to_string()),
        };
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Seen::Missing;
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Seen::Missing;
            }
            Some(
                code
                @ (RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::InvalidTopic),
            ) => return Seen::Refused(code.to_string()),
            Some(code) => return Seen::Not(format!("is not there: {code}")),
        }
        let led = |partition: &rdkafka::metadata::MetadataPartition| partition.leader() >= 0;
        if found.partitions().is_empty() || !found.partitions().iter().all(led) {
            return Seen::Not("has partitions without a leader".to_owned());
        }
        Seen::Usable(found.partitions().len())
    }

    async fn create(&self, topic: &str) -> Result<(), BrokerError> {
        let number = drawn().to_string();
        let retention = self.config.retention.as_millis().to_string();
        // Only what is in a closed segment is removed.
        let segment = (self.config.retention / 6).as_millis().max(1).to_string();
        let replication = self.config.replication.map_or(-1, i32::from);
        let replication = TopicReplication::Fixed(replication);
        let created = if topic == self.live {
            NewTopic::new(topic, 1, replication)
                .set("retention.ms", LIVE_RETENTION)
                .set("segment.ms", LIVE_RETENTION)
        } else {
            NewTopic::new(topic, self.config.partitions.into(), replication)
                .set("retention.ms", &retention)
                .set("segment.ms", &segment)
                .set(INCARNATION, &number)
        };
        let created = created
            .set("cleanup.policy", "delete")
            // By the clock of the brokers, whatever the clocks of the nodes say.
            .set("message.timestamp.type", "LogAppendTime");
        let results = self.admin.create_topics([&created], &options()).await;
        let results = results.map_err(|error| unavailable(error.to_string()))?;
        for result in results {
            use RDKafkaErrorCode as Code;
            match result {
                Ok(_) => info!(topic, "created the topic"),
                Err((_, Code::TopicAlreadyExists)) => {}
                Err((
                    _,
                    code @ (Code::InvalidReplicationFactor
                    | Code::InvalidPartitions
                    | Code::InvalidConfig
                    | Code::InvalidTopic
                    | Code::PolicyViolation
                    | Code::TopicAuthorizationFailed
                    | Code::ClusterAuthorizationFailed),
                )) => {
                    let text = format!("Kafka does not create the topic {topic}: {code}");
                    return Err(BrokerError::new(BrokerErrorKind::Rejected, text));
                }
                Err((_, code)) => return Err(unavailable(code.to_string())),
            }
        }
        Ok(())
    }
}

/// What Kafka says about a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It has so many partitions, each with a leader.
    Usable(usize),
    Missing,
    /// Asking again would not help.
    Refused(String),
    /// It cannot be used now, and why.
    Not(String),
    /// No answer came.
    Silent(String),
}

/// A number for a topic that is new. Kafka takes 63 bits; tools that read JSON take 53.
fn drawn() -> u64 {
    rand::random::<u64>() >> (11 + LOSSES) << LOSSES
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ANSWERED_WITHIN))
        .operation_timeout(Some(ANSWERED_WITHIN))
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topics")
            .field("events", &self.events)
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}

struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, message, "librdkafka, administration");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "administration of Kafka");
    }
}
