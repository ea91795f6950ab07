//! Reading the log.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use fanfare::broker::FrameError;
use fanfare::{Event, Ingress, Stamp};
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tracing::{debug, warn};

use super::config::Config;
use super::positions::Positions;
use super::topics::Topics;
use crate::fan_out::undecodable::Undecodable;

/// How soon a reader that has nothing to do sees that it is to stop.
const WAKE: Duration = Duration::from_millis(100);

/// A thread that hands over what is in the log from one place on, and what is live.
///
/// Made anew after every loss of connection, so that it reads on from what has been covered and from
/// nowhere else, whatever became of the topic meanwhile.
#[derive(Debug)]
pub(super) struct Reader {
    stop: Arc<AtomicBool>,
    /// Resolves when the last event has been handed over.
    ended: oneshot::Receiver<()>,
}

/// What a reader begins with.
pub(super) struct Reading {
    pub(super) ingress: Ingress,
    pub(super) positions: Arc<Positions>,
    /// For each partition, up to which offset events belong to the time before this node began to
    /// read.
    pub(super) began: Vec<u64>,
    /// Where each partition ended when reading began. Once all are reached, `caught_up` is told.
    pub(super) ends: Vec<u64>,
    /// Where the live topic ended.
    pub(super) live: u64,
    pub(super) caught_up: oneshot::Sender<()>,
    /// Raised where reading cannot go on without another look at the topic.
    pub(super) alarm: Arc<Notify>,
}

impl Reader {
    pub(super) fn new(
        config: &Config,
        topics: &Topics,
        reading: Reading,
    ) -> Result<Self, KafkaError> {
        let mut client = config.client();
        client
            // Only names the reader: partitions are assigned by hand, offsets are kept by the node.
            .set("group.id", &config.cluster)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A log that no longer has the next offset is looked at anew.
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_uncommitted")
            .set("fetch.min.bytes", "1")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.error.backoff.ms", "50")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384");
        let consumer = BaseConsumer::from_config_and_context(&client, Quiet)?;
        let events = topics.events.clone();
        let mut assignment = TopicPartitionList::new();
        for partition in 0..reading.positions.partitions() {
            let next = offset(reading.positions.next(partition));
            assignment.add_partition_offset(&events, number(partition), next)?;
        }
        consumer.incremental_assign(&assignment)?;
        let mut live = TopicPartitionList::new();
        live.add_partition_offset(&topics.live, 0, offset(reading.live))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (ending, ended) = oneshot::channel();
        let hands = Hands {
            stop: stop.clone(),
            undecodable: Undecodable::new(),
            behind: behind(&reading),
            caught_up: Some(reading.caught_up),
            live: Some(live),
            events,
            ingress: reading.ingress,
            positions: reading.positions,
            met: vec![HashSet::new(); reading.began.len()],
            began: reading.began,
            ends: reading.ends,
            alarm: reading.alarm,
        };
        let runtime = Handle::current();
        thread::Builder::new()
            .name("fanfare-kafka".to_owned())
            .spawn(move || {
                // Those who receive may look at tokio's clock or start tasks.
                let _entered = runtime.enter();
                hands.read(&consumer);
                // Before the consumer says good-bye to Kafka, which takes a while.
                drop(ending);
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { stop, ended })
    }

    /// Ends it. When this resolves, nothing more is handed over.
    pub(super) async fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.ended().await;
    }

    /// Resolves when nothing more is handed over, whyever. Cancel safe.
    pub(super) async fn ended(&mut self) {
        if !self.ended.is_terminated() {
            // An error says that the thread is gone, which is what is waited for.
            let _ = (&mut self.ended).await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn behind(reading: &Reading) -> Vec<bool> {
    let ends = reading.ends.iter().enumerate();
    ends.map(|(partition, end)| reading.positions.next(partition) < *end)
        .collect()
}

fn offset(offset: u64) -> Offset {
    Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX))
}

fn number(partition: usize) -> i32 {
    i32::try_from(partition).expect("lanes are few")
}

/// What the reading thread works with.
struct Hands {
    stop: Arc<AtomicBool>,
    ingress: Ingress,
    positions: Arc<Positions>,
    events: String,
    began: Vec<u64>,
    /// For each partition, the origins of events that belong to the time before.
    met: Vec<HashSet<u64>>,
    ends: Vec<u64>,
    /// The partitions whose end as of the beginning is not reached.
    behind: Vec<bool>,
    caught_up: Option<oneshot::Sender<()>>,
    /// The live topic, until it is read.
    live: Option<TopicPartitionList>,
    alarm: Arc<Notify>,
    undecodable: Undecodable,
}

impl Hands {
    fn read(mut self, consumer: &BaseConsumer<Quiet>) {
        while !self.stop.load(Ordering::Acquire) {
            if self.live.is_some() && !self.behind.contains(&true) {
                self.go_live(consumer);
            }
            match consumer.poll(WAKE) {
                Some(Ok(message)) => self.take(&message),
                Some(Err(KafkaError::PartitionEOF(partition))) => self.reach(partition),
                Some(Err(error)) => self.suspect(&error),
                None => {}
            }
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let decoded = Event::decode(Bytes::copy_from_slice(
            message.payload().unwrap_or_default(),
        ));
        if message.topic() != self.events {
            match decoded {
                Ok(event) => {
                    let _ = self.ingress.deliver(event);
                }
                Err(error) => self.undecodable.count(message.topic(), error),
            }
            return;
        }
        let (Ok(partition), Ok(offset)) = (
            usize::try_from(message.partition()),
            u64::try_from(message.offset()),
        ) else {
            return;
        };
        if partition >= self.began.len() || offset < self.positions.next(partition) {
            return;
        }
        match decoded {
            Ok(event) if self.positions.partition(event.channel()) == partition => {
                let position = self.positions.at(event.channel(), offset);
                let begins = offset < self.began[partition];
                let event = if begins {
                    self.meet(partition, event)
                } else {
                    event
                };
                let _ = self.ingress.deliver_at(event, position, begins);
            }
            // It has a place in the log of another partition, if any.
            Ok(_) => self.undecodable.count(message.topic(), FrameError::Channel),
            Err(error) => self.undecodable.count(message.topic(), error),
        }
        self.positions.cover(partition, offset);
        if offset + 1 >= self.ends[partition] {
            self.behind[partition] = false;
        }
    }

    /// The first event of an origin in what is read back: those that came before it are not there.
    /// An ingress that knows the origin from before a part of the log was trimmed would wait for them,
    /// and drop what follows.
    fn meet(&mut self, partition: usize, event: Event) -> Event {
        match event.stamp() {
            Some(stamp) if self.met[partition].insert(stamp.origin) => event.stamped(Stamp {
                settled: stamp.settled.max(stamp.number.saturating_sub(1)),
                ..stamp
            }),
            _ => event,
        }
    }

    /// Nothing more is in a partition for now: what is missing up to its end were no events, or has
    /// been removed since.
    fn reach(&mut self, partition: i32) {
        let partition = usize::try_from(partition).unwrap_or(usize::MAX);
        if let Some(behind) = self.behind.get_mut(partition) {
            *behind = false;
        }
    }

    /// All of the log up to its end has been handed over.
    fn go_live(&mut self, consumer: &BaseConsumer<Quiet>) {
        // Not earlier: the ends of partitions are told without the names of their topics.
        if let Some(live) = self.live.take()
            && let Err(error) = consumer.incremental_assign(&live)
        {
            self.suspect(&error);
        }
        if let Some(caught_up) = self.caught_up.take() {
            // Who waits may have given up.
            let _ = caught_up.send(());
        }
    }

    fn suspect(&self, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        // All else librdkafka overcomes by itself, or loses its connection over.
        let lost = matches!(
            error.rdkafka_error_code(),
            Some(
                Code::AutoOffsetReset
                    | Code::LogTruncation
                    | Code::OffsetOutOfRange
                    | Code::UnknownPartition
                    | Code::UnknownTopic
                    | Code::UnknownTopicOrPartition
                    | Code::TopicAuthorizationFailed
            )
        );
        if lost
            || matches!(
                error,
                KafkaError::MessageConsumptionFatal(_) | KafkaError::Subscription(_)
            )
        {
            warn!(%error, "reading from Kafka was interrupted");
            self.alarm.notify_one();
        } else {
            debug!(%error, "reading from Kafka");
        }
    }
}

struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, message, "librdkafka, reading");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "reading from Kafka");
    }
}

impl ConsumerContext for Quiet {}
