//! Writing events.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fanfare::broker::{BrokerError, BrokerErrorKind};
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, PurgeConfig, ThreadedProducer};
use tokio::sync::{Notify, oneshot};
use tracing::debug;

use super::config::Config;

/// How long Kafka may take to confirm an event, everything that is tried in between included.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(8);

/// One session of an idempotent producer. Replaced as a whole when the connection is lost, so that
/// nothing it still holds is sent later.
///
/// Dropping it blocks for up to half a second.
pub(super) struct Writer {
    producer: ThreadedProducer<Reports>,
}

/// A record's offset.
type Confirmation = Result<u64, KafkaError>;
/// Ends without a word where the writer does.
pub(super) type Confirmed = oneshot::Receiver<Confirmation>;

impl Writer {
    pub(super) fn new(config: &Config, alarm: Arc<Notify>) -> Result<Self, KafkaError> {
        let mut client = config.client();
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // A record waits for those before it to be sent, which is all the batching that is needed.
            .set("linger.ms", "0")
            .set("max.in.flight.requests.per.connection", "5")
            .set("request.timeout.ms", "5000")
            .set(
                "message.timeout.ms",
                CONFIRMED_WITHIN.as_millis().to_string(),
            )
            .set("retry.backoff.ms", "50")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "131072");
        let reports = Reports {
            alarm,
            reason: Mutex::default(),
        };
        let producer = ThreadedProducer::from_config_and_context(&client, reports)?;
        Ok(Self { producer })
    }

    /// Queues a record; those of a partition are written in the order of the calls. The receiver is
    /// told the record's offset.
    pub(super) fn send(
        &self,
        topic: &str,
        partition: usize,
        key: &str,
        record: &[u8],
    ) -> Result<Confirmed, BrokerError> {
        let (confirm, confirmed) = oneshot::channel();
        let partition = i32::try_from(partition).expect("lanes are few");
        let record = BaseRecord::with_opaque_to(topic, Box::new(confirm))
            .partition(partition)
            .key(key)
            .payload(record);
        match self.producer.send(record) {
            Ok(()) => Ok(confirmed),
            Err((error, _)) => Err(failure(error)),
        }
    }

    /// Asks for the state of a topic, and so whether anyone is there. Blocks.
    pub(super) fn ask(&self, topic: &str, within: Duration) -> Result<Metadata, KafkaError> {
        self.producer.client().fetch_metadata(Some(topic), within)
    }

    /// The first offset that a partition has, and the one that it will have next. Blocks.
    pub(super) fn ends(
        &self,
        topic: &str,
        partition: usize,
        within: Duration,
    ) -> Result<(u64, u64), KafkaError> {
        let partition = i32::try_from(partition).expect("lanes are few");
        let client = self.producer.client();
        let (low, high) = client.fetch_watermarks(topic, partition, within)?;
        Ok((
            u64::try_from(low).unwrap_or(0),
            u64::try_from(high).unwrap_or(0),
        ))
    }

    /// Why the session can go on no more, whatever the connection does.
    pub(super) fn broken(&self) -> Option<String> {
        self.producer
            .client()
            .fatal_error()
            .map(|(_, reason)| reason)
    }

    /// What went wrong last, for sentences.
    pub(super) fn reason(&self) -> Option<String> {
        let reason = &self.producer.context().reason;
        reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many records wait to be confirmed.
    pub(super) fn unconfirmed(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// Gives up all that is not confirmed. What was sent may have been written.
    pub(super) fn give_up(&self) {
        self.producer
            .purge(PurgeConfig::default().queue().inflight());
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("unconfirmed", &self.unconfirmed())
            .finish_non_exhaustive()
    }
}

/// What an event that was not written means to its publisher.
pub(super) fn failure(error: KafkaError) -> BrokerError {
    use RDKafkaErrorCode as Code;
    let kind = match error.rdkafka_error_code() {
        Some(
            Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidRecord
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::PolicyViolation,
        ) => BrokerErrorKind::Rejected,
        _ => BrokerErrorKind::Unavailable,
    };
    BrokerError::new(kind, error)
}

/// Takes what librdkafka reports, in the producer's thread.
struct Reports {
    /// Raised when all brokers are gone.
    alarm: Arc<Notify>,
    reason: Mutex<Option<String>>,
}

impl ClientContext for Reports {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, message, "librdkafka, writing");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.alarm.notify_one();
            return;
        }
        debug!(%error, reason, "writing to Kafka");
        let mut last = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(reason.to_owned());
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<oneshot::Sender<Confirmation>>;

    fn delivery(&self, result: &DeliveryResult<'_>, confirm: Self::DeliveryOpaque) {
        let confirmation = match result {
            Ok(message) => Ok(u64::try_from(message.offset()).unwrap_or(0)),
            Err((error, _)) => {
                if matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::Fatal)) {
                    self.alarm.notify_one();
                }
                Err(error.clone())
            }
        };
        // The publisher may have given up waiting.
        let _ = confirm.send(confirmation);
    }
}
