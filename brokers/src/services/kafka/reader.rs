//! A consumer of Kafka's, on a thread of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// A commit that was not answered in this time is tried again.
const COMMIT: Duration = Duration::from_secs(5);

/// Between a commit that failed and the next.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Reader {
    consumer: BaseConsumer<Group>,
    hands: Arc<Hands>,
    role: Role,
    topic: Arc<str>,
    /// Commits that are on their way, since when.
    committing: Option<(Vec<Commit>, Instant)>,
    not_before: Instant,
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
            committed: Mutex::default(),
        };
        let failed = |error| BrokerError::new(BrokerErrorKind::Unavailable, error);
        let mut consumer =
            BaseConsumer::from_config_and_context(&config, context).map_err(failed)?;
        let wake = Arc::clone(&hands);
        consumer.set_nonempty_callback(move || wake.wake(role).call());
        consumer.subscribe(topics).map_err(failed)?;
        let reader = Self {
            consumer,
            hands,
            role,
            topic: topic.into(),
            committing: None,
            not_before: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("fanfare-kafka".to_owned());
        let spawned = thread.spawn(move || reader.run());
        spawned.map_err(|error| BrokerError::new(BrokerErrorKind::Unavailable, error))?;
        Ok(())
    }

    fn run(mut self) {
        while !self.hands.closed() {
            self.fetch();
            self.commit();
            let mut most = IDLE;
            if self.role == Role::Retries
                && let Some(left) = self.hands.wait()
            {
                most = most.min(left);
            }
            let left = self.not_before.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                most = most.min(left);
            }
            self.hands.wake(self.role).wait(most);
        }
        // The group gives its partitions to others when this is dropped; `Group` commits before that.
        if let Some((commits, _)) = self.committing.take() {
            self.hands.commit_again(commits);
        }
    }

    /// Takes all that the library has fetched, as far as there is room.
    fn fetch(&self) {
        loop {
            self.steer();
            match self.consumer.poll(Duration::ZERO) {
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

    /// One commit at a time; what is settled while it is on its way goes with the next.
    fn commit(&mut self) {
        let context = self.consumer.context();
        let answers = std::mem::take(&mut *context.answers());
        if let Some((commits, since)) = self.committing.take() {
            let ours = answers.into_iter().find(|answer| answer.is_of(&commits));
            match ours {
                Some(Answer { error: None, .. }) => {
                    for told in commits.into_iter().flat_map(|commit| commit.told) {
                        let _ = told.send(Ok(()));
                    }
                }
                Some(Answer {
                    error: Some(error), ..
                }) => {
                    tracing::debug!(%error, "kafka: a commit failed");
                    self.hands.commit_again(commits);
                    self.not_before = Instant::now() + PAUSE;
                }
                None if since.elapsed() > COMMIT => self.hands.commit_again(commits),
                None => {
                    self.committing = Some((commits, since));
                    return;
                }
            }
        }
        if Instant::now() < self.not_before {
            return;
        }
        let commits = self.hands.commits(self.role, None);
        if commits.is_empty() {
            return;
        }
        match self.consumer.commit(&list(&commits), CommitMode::Async) {
            Ok(()) => self.committing = Some((commits, Instant::now())),
            Err(error) => {
                tracing::debug!(%error, "kafka: a commit failed");
                self.hands.commit_again(commits);
                self.not_before = Instant::now() + PAUSE;
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

/// What the library says about the group, on the reader's thread.
struct Group {
    hands: Arc<Hands>,
    role: Role,
    committed: Mutex<Vec<Answer>>,
}

/// What became of a commit.
struct Answer {
    offsets: Vec<(String, i32, Offset)>,
    error: Option<KafkaError>,
}

impl Group {
    fn answers(&self) -> std::sync::MutexGuard<'_, Vec<Answer>> {
        self.committed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
        match rebalance {
            Rebalance::Assign(places) => self.assign(consumer, places),
            Rebalance::Revoke(places) => self.revoke(consumer, places),
            Rebalance::Error(error) => tracing::warn!(%error, "kafka: rebalance"),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let elements = offsets.elements();
        let refused = elements.iter().find_map(|element| element.error().err());
        let offsets = elements.iter().map(|element| {
            (
                element.topic().to_owned(),
                element.partition(),
                element.offset(),
            )
        });
        self.answers().push(Answer {
            offsets: offsets.collect(),
            error: result.err().or(refused),
        });
        self.hands.wake(self.role).call();
    }
}

impl Answer {
    fn is_of(&self, commits: &[Commit]) -> bool {
        self.offsets.len() == commits.len()
            && commits.iter().all(|commit| {
                let (topic, partition) = &commit.place;
                self.offsets.iter().any(|(name, number, offset)| {
                    **name == **topic
                        && number == partition
                        && *offset == Offset::Offset(commit.offset)
                })
            })
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
