//! What all share that is connected to one Kafka cluster.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use fanfare::broker::{BrokerError, BrokerErrorKind};
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{FromClientConfig as _, FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, Producer as _};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::names::Names;
use super::record::Letter;
use super::topics::{TopicConfig, Topics};
use crate::services::headers::{refused, unavailable};

/// How long the cluster may take for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a message may take to be written. The cluster may choose a new leader in that time.
const DELIVERY: Duration = Duration::from_secs(8);

/// How often it is looked whether the cluster is there, and how long it may take to answer.
const LOOK: Duration = Duration::from_secs(1);

/// There on every cluster that has consumer groups, and never created by asking for it.
const KNOWN_TOPIC: &str = "__consumer_offsets";

pub(super) struct Client {
    pub(super) servers: String,
    topics: Topics,
    producer: RwLock<Arc<FutureProducer<Quiet>>>,
    admin: AdminClient<DefaultClientContext>,
    /// Reads nothing; asks for metadata and watermarks, and creates no topics by that.
    asker: Arc<BaseConsumer<Watch>>,
    ready: Mutex<HashSet<String>>,
    up: watch::Receiver<bool>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("servers", &self.servers)
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(super) async fn connect(url: &str, topics: Topics) -> Result<Self, BrokerError> {
        let servers = servers(url)?;
        let (sender, up) = watch::channel(true);
        let config = config(&servers);
        let asker = BaseConsumer::from_config_and_context(&config, Watch(sender));
        let asker = Arc::new(asker.map_err(|error| invalid(&error))?);
        let first = {
            let asker = Arc::clone(&asker);
            spawn_blocking(move || asker.fetch_metadata(Some(KNOWN_TOPIC), PATIENCE)).await
        };
        let first = first.map_err(|error| BrokerError::new(BrokerErrorKind::Unavailable, error))?;
        if let Err(error) = first {
            return Err(unavailable(format!(
                "Kafka at {servers} cannot be reached in 5 s: {error}"
            )));
        }
        // Said while the first connection was tried.
        asker.context().0.send_replace(true);
        let admin = AdminClient::from_config(&config).map_err(|error| invalid(&error))?;
        watch(Arc::downgrade(&asker))?;
        Ok(Self {
            producer: RwLock::new(producer(&servers)?),
            servers,
            topics,
            admin,
            asker,
            ready: Mutex::default(),
            up,
        })
    }

    pub(super) fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Refuses at once while the cluster is away.
    pub(super) fn check(&self) -> Result<(), BrokerError> {
        if self.is_up() {
            return Ok(());
        }
        Err(self.away())
    }

    /// Hands a message to the producer; the messages of a partition are written in this order.
    pub(super) fn send(&self, letter: &Letter) -> Result<DeliveryFuture, BrokerError> {
        let producer = Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner));
        let sent = producer.send_result(letter.as_message());
        sent.map_err(|(error, _)| self.not_written(error))
    }

    /// Waits until a message is written, or the cluster is gone, or it took too long.
    pub(super) async fn written(&self, delivery: DeliveryFuture) -> Result<(), BrokerError> {
        let mut up = self.up.clone();
        let gone = async {
            // An error is the end of the client, which `delivery` notices too.
            if up.wait_for(|up| !up).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            delivered = delivery => match delivered {
                Ok(Ok(_)) => Ok(()),
                Ok(Err((error, _))) => Err(self.not_written(error)),
                Err(_) => Err(unavailable("the Kafka producer was shut down")),
            },
            () = gone => Err(self.away()),
        }
    }

    /// Writes a message to a topic that is ready.
    pub(super) async fn write(&self, letter: &Letter) -> Result<(), BrokerError> {
        self.check()?;
        let delivery = self.send(letter)?;
        self.written(delivery).await
    }

    /// Creates the topics of a group where they are missing.
    pub(super) async fn prepare(&self, names: &Names) -> Result<(), BrokerError> {
        let own = TopicConfig {
            partitions: 1,
            ..self.topics.default
        };
        let mut topics = vec![(names.topic.clone(), self.topics.of(&names.topic))];
        topics.extend(names.retries.iter().map(|(_, name)| (name.clone(), own)));
        topics.push((names.dead.clone(), own));
        self.create(topics).await
    }

    /// Creates a topic where it is missing.
    pub(super) async fn prepare_topic(&self, topic: &str) -> Result<(), BrokerError> {
        let config = self.topics.of(topic);
        self.create(vec![(topic.to_owned(), config)]).await
    }

    /// Forgets that topics are there: somebody may have deleted them.
    pub(super) fn forget(&self, topic: &str) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.remove(topic);
    }

    /// Low and high watermark of a partition. Blocks.
    pub(super) fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
        self.asker.fetch_watermarks(topic, partition, PATIENCE)
    }

    /// Blocks until all that was sent is written or failed.
    pub(super) fn flush(&self) {
        let producer = Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = producer.flush(PATIENCE) {
            tracing::warn!(%error, "kafka: not everything was written");
        }
    }

    async fn create(&self, topics: Vec<(String, TopicConfig)>) -> Result<(), BrokerError> {
        let missing: Vec<_> = {
            let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            let missing = topics.into_iter().filter(|(name, _)| !ready.contains(name));
            missing.collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        self.check()?;
        let new: Vec<NewTopic<'_>> = missing
            .iter()
            .map(|(name, config)| new(name, *config))
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(PATIENCE))
            .operation_timeout(Some(PATIENCE));
        let created = self.admin.create_topics(&new, &options).await;
        for result in created.map_err(|error| self.not_written(error))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                // Who may not create topics may use those that are there.
                Err((
                    _,
                    RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed,
                )) => {}
                Err((name, code)) => {
                    let error = KafkaError::AdminOp(code);
                    tracing::warn!(topic = name, %error, "kafka: no such topic can be created");
                    return Err(self.not_written(error));
                }
            }
        }
        let names: Vec<String> = missing.into_iter().map(|(name, _)| name).collect();
        self.wait_for_leaders(names.clone()).await?;
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.extend(names);
        Ok(())
    }

    /// A topic that was just created has no leaders for a moment: what is written to it would wait,
    /// and a group that subscribes to it would get nothing until the next refresh of its metadata.
    async fn wait_for_leaders(&self, names: Vec<String>) -> Result<(), BrokerError> {
        let asker = Arc::clone(&self.asker);
        let servers = self.servers.clone();
        let waited = spawn_blocking(move || {
            let begun = Instant::now();
            for name in names {
                loop {
                    let metadata = asker.fetch_metadata(Some(&name), PATIENCE);
                    if metadata.is_ok_and(|metadata| has_leaders(&metadata, &name)) {
                        break;
                    }
                    if begun.elapsed() > PATIENCE {
                        return Err(unavailable(format!(
                            "the topic {name} is not there on Kafka at {servers}"
                        )));
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            Ok(())
        });
        waited
            .await
            .map_err(|error| BrokerError::new(BrokerErrorKind::Unavailable, error))?
    }

    fn away(&self) -> BrokerError {
        unavailable(format!("Kafka at {} is away", self.servers))
    }

    fn not_written(&self, error: KafkaError) -> BrokerError {
        self.renew_after(&error);
        let kind = match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::InvalidTopic
                | RDKafkaErrorCode::PolicyViolation
                | RDKafkaErrorCode::InvalidReplicationFactor
                | RDKafkaErrorCode::InvalidPartitions
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => BrokerErrorKind::Rejected,
            _ => BrokerErrorKind::Unavailable,
        };
        BrokerError::new(kind, error)
    }

    /// An idempotent producer that lost count of its messages is of no more use.
    fn renew_after(&self, error: &KafkaError) {
        let mut producer = self
            .producer
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((code, reason)) = producer.client().fatal_error() {
            tracing::warn!(%error, ?code, reason, "kafka: a new producer");
            match self::producer(&self.servers) {
                Ok(new) => *producer = new,
                Err(error) => tracing::warn!(?error, "kafka: no new producer"),
            }
        }
    }
}

/// What every client of the library is configured with.
pub(super) fn config(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("client.id", "fanfare")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("socket.timeout.ms", "10000")
        .set("socket.connection.setup.timeout.ms", "3000")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "1000")
        .set("topic.metadata.refresh.interval.ms", "30000")
        // Its lines about lost connections are said by this crate once.
        .set_log_level(RDKafkaLogLevel::Critical);
    config
}

fn producer(servers: &str) -> Result<Arc<FutureProducer<Quiet>>, BrokerError> {
    let mut config = config(servers);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", DELIVERY.as_millis().to_string())
        .set("request.timeout.ms", PATIENCE.as_millis().to_string())
        .set("linger.ms", "2")
        // As the Java client does, so that both put a key into the same partition.
        .set("partitioner", "murmur2_random");
    let producer = FutureProducer::from_config_and_context(&config, Quiet);
    Ok(Arc::new(producer.map_err(|error| invalid(&error))?))
}

/// Looks again and again whether the cluster is there, until the client is gone.
fn watch(asker: Weak<BaseConsumer<Watch>>) -> Result<(), BrokerError> {
    let looking = move || {
        while let Some(asker) = asker.upgrade() {
            // Serves the callbacks too.
            let _ = asker.poll(Duration::ZERO);
            let there = asker.fetch_metadata(Some(KNOWN_TOPIC), LOOK * 2).is_ok();
            asker.context().set(there);
            drop(asker);
            std::thread::sleep(if there { LOOK } else { LOOK / 4 });
        }
    };
    let thread = std::thread::Builder::new().name("fanfare-kafka-up".to_owned());
    let spawned = thread.spawn(looking);
    spawned.map_err(|error| BrokerError::new(BrokerErrorKind::Unavailable, error))?;
    Ok(())
}

/// Says nothing that is said elsewhere.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer");
    }
}

/// Takes note of whether the cluster is there.
struct Watch(watch::Sender<bool>);

impl Watch {
    fn set(&self, up: bool) {
        self.0.send_if_modified(|was| {
            let changed = *was != up;
            *was = up;
            changed
        });
    }
}

impl ClientContext for Watch {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.set(false);
        }
    }
}

impl ConsumerContext for Watch {}

fn has_leaders(metadata: &rdkafka::metadata::Metadata, name: &str) -> bool {
    let mut topics = metadata.topics().iter();
    let topic = topics.find(|topic| topic.name() == name);
    topic.is_some_and(|topic| {
        let partitions = topic.partitions();
        !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0)
    })
}

fn new(name: &str, config: TopicConfig) -> NewTopic<'_> {
    let replication = match config.replication {
        0 => TopicReplication::Fixed(-1),
        copies => TopicReplication::Fixed(i32::from(copies)),
    };
    NewTopic::new(name, i32::from(config.partitions), replication)
}

fn servers(url: &str) -> Result<String, BrokerError> {
    // What was given is left out: it may hold a password.
    let no_url = || refused("the address of Kafka is no URL of the form kafka://host:port");
    let rest = url.strip_prefix("kafka://").ok_or_else(no_url)?;
    let servers = rest.trim_end_matches('/');
    if servers.contains('@') {
        return Err(refused("kafka:// takes no user and password"));
    }
    let mut with_ports = Vec::new();
    for server in servers.split(',') {
        let (host, port) = server.rsplit_once(':').unwrap_or((server, "9092"));
        if host.is_empty() || port.parse::<u16>().is_err() || server.contains(['/', '?', '#', ' '])
        {
            return Err(no_url());
        }
        with_ports.push(format!("{host}:{port}"));
    }
    Ok(with_ports.join(","))
}

fn invalid(error: &KafkaError) -> BrokerError {
    refused(format!("Kafka's client cannot be made: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(servers("kafka://a:1").unwrap(), "a:1");
        assert_eq!(servers("kafka://a:1,b:2/").unwrap(), "a:1,b:2");
        assert_eq!(servers("kafka://a").unwrap(), "a:9092");
        for url in [
            "kafka://",
            "kafka://:1",
            "kafka://a:x",
            "http://a:1",
            "kafka://a:1/t",
            "kafka://u:p@a:1",
        ] {
            assert!(servers(url).is_err(), "{url}");
        }
    }
}
