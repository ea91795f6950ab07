//! A consumer of Kafka's, on a thread of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fanfare::broker::{BrokerError, BrokerErrorKind};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Message as _, Offset, TopicPartitionList};

use super::client::{PATIENCE, config};
use super::hands::{Commit, Hands, Place, Role, gone};
use super::ledger::Ledger;
use super::record::read;

/// The library's own timers need a look this often.
const IDLE: Duration = Duration::from_millis(500);

/// Between a commit that failed and the next.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Reader {
    consumer: Arc<BaseConsumer<Group>>,
    hands: Arc<Hands>,
    role: Role,
    topic: Arc<str>,
}

impl Reader {
    /// Joins a consumer group to read topics. The records are those of `topic`, or were once.
    pub(super) fn start(
        servers: &str,
        group: &str,
        topic: &str,
        topics: &[&str],
        hands: Arc<Hands>,
        role: Role,
    ) -> Result<(), BrokerError> {
        let mut config = config(servers);
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // Members that end without a word are missed after 10 s.
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .set("fetch.wait.max.ms", "200")
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.queue.backoff.ms", "20")
            // What is fetched ahead: little, because a pause throws it away.
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", "16384");
        let context = Group {
            hands: Arc::clone(&hands),
            role,
            commit: Mutex::default(),
            called: AtomicBool::new(false),
        };
        let failed = |error| BrokerError::new(BrokerErrorKind::Unavailable, error);
        let mut consumer =
            BaseConsumer::from_config_and_context(&config, context).map_err(failed)?;
        let wake = Arc::clone(&hands);
        consumer.set_nonempty_callback(move || wake.reading(role).call());
        consumer.subscribe(topics).map_err(failed)?;
        let consumer = Arc::new(consumer);
        let committer = Committer {
            consumer: Arc::clone(&consumer),
            hands: Arc::clone(&hands),
            role,
        };
        let reader = Self {
            consumer,
            hands,
            role,
            topic: topic.into(),
        };
        spawn("fanfare-kafka-commit", move || committer.run())?;
        spawn("fanfare-kafka-read", move || reader.run())
    }

    fn run(self) {
        while !self.hands.closed() {
            self.fetch();
            let due = match self.role {
                Role::Records => None,
                Role::Retries => self.hands.wait(),
            };
            let most = due.map_or(IDLE, |due| due.min(IDLE));
            self.hands.reading(self.role).wait(most);
        }
        // Who drops the consumer last leaves the group; `Group` commits before that.
    }

    /// Takes all that the library has fetched, as far as there is room.
    fn fetch(&self) {
        loop {
            self.steer();
            let context = self.consumer.context();
            context.called.store(false, Ordering::Relaxed);
            match self.consumer.poll(Duration::ZERO) {
                // The library says nothing too where it said something to `Group`, and calls no more
                // until its queue was empty.
                None if context.called.load(Ordering::Relaxed) => {}
                None => return,
                Some(Ok(message)) => {
                    let place = (Arc::from(message.topic()), message.partition());
                    let record = read(&self.topic, &message);
                    self.hands.fetch(self.role, place, message.offset(), record);
                }
                Some(Err(error)) => self.note(error),
            }
            if self.hands.closed() {
                return;
            }
        }
    }

    fn steer(&self) {
        let flow = self.hands.flow(self.role);
        for (places, stop) in [(flow.pause, true), (flow.resume, false)] {
            if places.is_empty() {
                continue;
            }
            let mut list = TopicPartitionList::new();
            for (topic, partition) in &places {
                list.add_partition(topic, *partition);
            }
            let steered = if stop {
                self.consumer.pause(&list)
            } else {
                self.consumer.resume(&list)
            };
            if let Err(error) = steered {
                tracing::debug!(%error, stop, "kafka: partitions cannot be steered");
            }
        }
    }

    fn note(&self, error: KafkaError) {
        tracing::debug!(%error, "kafka consumer");
        // One connection of several; the library sees to it.
        let passing = [
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::OperationTimedOut,
        ];
        let code = error.rdkafka_error_code();
        if !code.is_some_and(|code| passing.contains(&code)) {
            let error = BrokerError::new(BrokerErrorKind::Unavailable, error);
            self.hands.fail(error);
        }
    }
}

/// Commits what is settled, one commit after the other; what is settled meanwhile goes with the next.
/// On a thread of its own, because only a commit that is waited for says what became of it.
struct Committer {
    consumer: Arc<BaseConsumer<Group>>,
    hands: Arc<Hands>,
    role: Role,
}

impl Committer {
    fn run(self) {
        while !self.hands.closed() {
            let wait = match self.commit() {
                Ok(()) => IDLE,
                Err(error) => {
                    // The group finds itself anew, or the cluster is away.
                    tracing::debug!(%error, "kafka: a commit failed");
                    PAUSE
                }
            };
            self.hands.committing(self.role).wait(wait);
        }
    }

    fn commit(&self) -> KafkaResult<()> {
        let _one = self.consumer.context().commit();
        let commits = self.hands.commits(self.role, None);
        if commits.is_empty() {
            return Ok(());
        }
        let committed = self.consumer.commit(&list(&commits), CommitMode::Sync);
        if committed.is_ok() {
            for told in commits.into_iter().flat_map(|commit| commit.told) {
                let _ = told.send(Ok(()));
            }
        } else {
            self.hands.commit_again(commits);
        }
        committed
    }
}

/// What the library says about the group, on the reader's thread.
struct Group {
    hands: Arc<Hands>,
    role: Role,
    /// Held from looking at what is settled until it is committed: an older commit must not arrive
    /// after a newer one.
    commit: Mutex<()>,
    /// Something was said since it was last asked.
    called: AtomicBool,
}

impl Group {
    fn commit(&self) -> std::sync::MutexGuard<'_, ()> {
        self.commit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what was committed before, with what was settled behind it.
    fn assign(&self, consumer: &BaseConsumer<Self>, places: &TopicPartitionList) {
        let committed = consumer.committed_offsets(places.clone(), PATIENCE);
        if let Err(error) = &committed {
            tracing::warn!(%error, "kafka: what is settled is not known; it may come again");
        }
        let committed = committed.unwrap_or_else(|_| places.clone());
        for element in committed.elements() {
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let place = (Arc::from(element.topic()), element.partition());
            let ledger = Ledger::restore(offset, element.metadata());
            self.hands.assign(self.role, place, ledger);
        }
    }

    /// Commits what is settled of partitions that go to others, as long as it may.
    fn revoke(&self, consumer: &BaseConsumer<Self>, places: &TopicPartitionList) {
        let places: Vec<Place> = places
            .elements()
            .iter()
            .map(|element| (Arc::from(element.topic()), element.partition()))
            .collect();
        let _one = self.commit();
        let commits: Vec<Commit> = places
            .iter()
            .flat_map(|place| self.hands.commits(self.role, Some(place)))
            .collect();
        let committed = if commits.is_empty() || consumer.assignment_lost() {
            commits.is_empty()
        } else {
            consumer.commit(&list(&commits), CommitMode::Sync).is_ok()
        };
        for told in commits.into_iter().flat_map(|commit| commit.told) {
            let _ = told.send(if committed { Ok(()) } else { Err(gone()) });
        }
        for place in &places {
            for told in self.hands.revoke(place) {
                let _ = told.send(Err(gone()));
            }
        }
    }
}

impl ClientContext for Group {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka consumer");
    }
}

impl ConsumerContext for Group {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.called.store(true, Ordering::Relaxed);
        match rebalance {
            Rebalance::Assign(places) => self.assign(consumer, places),
            Rebalance::Revoke(places) => self.revoke(consumer, places),
            Rebalance::Error(error) => tracing::warn!(%error, "kafka: rebalance"),
        }
    }
}

fn list(commits: &[Commit]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for commit in commits {
        let (topic, partition) = &commit.place;
        let mut element = list.add_partition(topic, *partition);
        // Fails for negative offsets only, which no record has.
        let _ = element.set_offset(Offset::Offset(commit.offset));
        element.set_metadata(&*commit.metadata);
    }
    list
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), BrokerError> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let spawned = thread.spawn(work);
    spawned.map_err(|error| BrokerError::new(BrokerErrorKind::Unavailable, error))?;
    Ok(())
}
