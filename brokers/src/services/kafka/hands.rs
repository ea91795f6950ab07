//! What a source fetched, what of it is in hand, and what is settled.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fanfare::broker::BrokerError;
use tokio::sync::{Notify, oneshot};

use super::ledger::Ledger;
use super::record::Read;
use crate::services::headers::unavailable;

/// A topic and a partition.
pub(super) type Place = (Arc<str>, i32);

/// Told once the server knows.
pub(super) type Told = oneshot::Sender<Result<(), BrokerError>>;

/// Records of one retry topic that are fetched before they are due, so that a long pause does not
/// block a short one behind it.
const MOST_WAITING: usize = 1_000;

/// One of the two consumers of a source, which have partitions of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Records,
    Retries,
}

/// Shared by a source, its readers and its deliveries.
#[derive(Debug)]
pub(super) struct Hands {
    prefetch: usize,
    state: Mutex<State>,
    /// Something is there for the source.
    pub(super) ready: Notify,
    wakes: [Wake; 2],
}

#[derive(Debug, Default)]
struct State {
    /// Due and not handed out, by arrival.
    ready: BTreeMap<u64, Fetched>,
    /// Not due, by time and arrival.
    waiting: BTreeMap<(SystemTime, u64), Fetched>,
    partitions: HashMap<Place, Partition>,
    arrivals: u64,
    in_hand: usize,
    trouble: Option<BrokerError>,
    closed: bool,
}

#[derive(Debug)]
struct Partition {
    role: Role,
    /// Tells this time of having it from another.
    term: u64,
    ledger: Ledger,
    /// Settled since the last commit, and who waits for the next.
    changed: bool,
    told: Vec<Told>,
    waiting: usize,
    paused: bool,
}

/// A record that was fetched.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) read: Read,
    place: Place,
    term: u64,
    offset: i64,
    arrival: u64,
}

/// What is to be committed.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) place: Place,
    pub(super) offset: i64,
    pub(super) metadata: String,
    pub(super) told: Vec<Told>,
}

/// Partitions to stop and to go on with.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) pause: Vec<Place>,
    pub(super) resume: Vec<Place>,
}

/// Wakes the thread of a reader.
#[derive(Debug, Default)]
pub(super) struct Wake {
    called: Mutex<bool>,
    condition: Condvar,
}

impl Wake {
    pub(super) fn call(&self) {
        *self.called.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.condition.notify_one();
    }

    /// Waits for a call, so long at most. One that came before counts.
    pub(super) fn wait(&self, most: Duration) {
        let called = self.called.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .condition
            .wait_timeout_while(called, most, |called| !*called);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// For the source and its deliveries.
impl Hands {
    pub(super) fn new(prefetch: u16) -> Self {
        Self {
            prefetch: usize::from(prefetch),
            state: Mutex::default(),
            ready: Notify::new(),
            wakes: Default::default(),
        }
    }

    /// The next record that is due, if there is a place for it.
    pub(super) fn take(&self) -> Option<Fetched> {
        let mut state = self.lock();
        if state.in_hand >= self.prefetch {
            return None;
        }
        let (_, fetched) = state.ready.pop_first()?;
        state.in_hand += 1;
        let more = state.ready.len();
        drop(state);
        if more == self.low() {
            self.call();
        }
        Some(fetched)
    }

    pub(super) fn trouble(&self) -> Option<BrokerError> {
        self.lock().trouble.take()
    }

    /// A record is settled. What is given is told once the server knows.
    pub(super) fn settle(
        &self,
        fetched: &Fetched,
    ) -> Result<oneshot::Receiver<Result<(), BrokerError>>, BrokerError> {
        let (told, known) = oneshot::channel();
        let mut state = self.lock();
        state.in_hand -= 1;
        let partition = state.partition(fetched).ok_or_else(gone)?;
        partition.ledger.settle(fetched.offset);
        partition.changed = true;
        partition.told.push(told);
        let role = partition.role;
        drop(state);
        self.wake(role).call();
        self.ready.notify_one();
        Ok(known)
    }

    /// Whether a record may still be settled here, and has not gone to another consumer.
    pub(super) fn check(&self, fetched: &Fetched) -> Result<(), BrokerError> {
        self.lock().partition(fetched).map(drop).ok_or_else(gone)
    }

    /// A record comes again, where it was in the order.
    pub(super) fn release(&self, fetched: Fetched) {
        let mut state = self.lock();
        state.in_hand -= 1;
        if state.partition(&fetched).is_some() {
            state.ready.insert(fetched.arrival, fetched);
        }
        drop(state);
        self.ready.notify_one();
    }

    /// Where each partition is committed, and how many are settled behind that.
    pub(super) fn committed(&self) -> Vec<(Place, Option<i64>, usize)> {
        let state = self.lock();
        let partitions = state.partitions.iter();
        partitions
            .map(|(place, partition)| {
                let ledger = &partition.ledger;
                (place.clone(), ledger.offset(), ledger.ahead())
            })
            .collect()
    }

    pub(super) fn in_hand(&self) -> usize {
        self.lock().in_hand
    }

    /// Ends the readers. What is not settled comes again elsewhere.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.call();
    }

    fn low(&self) -> usize {
        self.prefetch
    }

    fn call(&self) {
        for wake in &self.wakes {
            wake.call();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the readers.
impl Hands {
    pub(super) fn wake(&self, role: Role) -> &Wake {
        &self.wakes[role as usize]
    }

    pub(super) fn closed(&self) -> bool {
        self.lock().closed
    }

    pub(super) fn fail(&self, error: BrokerError) {
        self.lock().trouble = Some(error);
        self.ready.notify_one();
    }

    /// A partition is this consumer's from now on.
    pub(super) fn assign(&self, role: Role, place: Place, ledger: Ledger) {
        let mut state = self.lock();
        state.arrivals += 1;
        let partition = Partition {
            role,
            term: state.arrivals,
            ledger,
            changed: false,
            told: Vec::new(),
            waiting: 0,
            paused: false,
        };
        state.partitions.insert(place, partition);
    }

    /// A partition is another's from now on. Gives those who wait for a commit of it.
    pub(super) fn revoke(&self, place: &Place) -> Vec<Told> {
        let mut state = self.lock();
        let partition = state.partitions.remove(place);
        state.ready.retain(|_, fetched| fetched.place != *place);
        state.waiting.retain(|_, fetched| fetched.place != *place);
        partition.map_or_else(Vec::new, |partition| partition.told)
    }

    pub(super) fn fetch(&self, role: Role, place: Place, offset: i64, mut read: Read) {
        let mut state = self.lock();
        state.arrivals += 1;
        let arrival = state.arrivals;
        let Some(partition) = state.partitions.get_mut(&place) else {
            return;
        };
        if !partition.ledger.fetch(offset) {
            // Settled before, or in hand: the offset can go on all the same.
            partition.changed = true;
            return;
        }
        let due = read
            .due
            .filter(|due| role == Role::Retries && *due > SystemTime::now());
        if role == Role::Records {
            // Only what we wrote for the group has a history.
            read.failures.clear();
        }
        let fetched = Fetched {
            read,
            place,
            term: partition.term,
            offset,
            arrival,
        };
        if let Some(due) = due {
            partition.waiting += 1;
            state.waiting.insert((due, arrival), fetched);
            return;
        }
        state.ready.insert(arrival, fetched);
        drop(state);
        self.ready.notify_one();
    }

    /// Makes ready what is due, and says how long it is until the next.
    pub(super) fn wait(&self) -> Option<Duration> {
        let now = SystemTime::now();
        let mut state = self.lock();
        let mut any = false;
        while let Some(first) = state.waiting.first_entry() {
            let due = first.key().0;
            if let Ok(left) = due.duration_since(now)
                && !left.is_zero()
            {
                drop(state);
                if any {
                    self.ready.notify_one();
                }
                return Some(left);
            }
            let mut fetched = first.remove();
            if let Some(partition) = state.partition(&fetched) {
                partition.waiting -= 1;
            }
            state.arrivals += 1;
            fetched.arrival = state.arrivals;
            state.ready.insert(fetched.arrival, fetched);
            any = true;
        }
        drop(state);
        if any {
            self.ready.notify_one();
        }
        None
    }

    /// Whether as much is fetched as may be: enough to go on with while the next is fetched.
    pub(super) fn flow(&self, role: Role) -> Flow {
        let mut flow = Flow::default();
        let mut state = self.lock();
        let ready = state.ready.len();
        for (place, partition) in &mut state.partitions {
            if partition.role != role {
                continue;
            }
            let (full, low) = match role {
                Role::Records => (ready >= self.low() * 2 + 50, ready <= self.low()),
                Role::Retries => (
                    partition.waiting >= MOST_WAITING || ready >= self.low() * 2 + MOST_WAITING,
                    partition.waiting <= MOST_WAITING / 2 && ready <= self.low() + MOST_WAITING / 2,
                ),
            };
            if full && !partition.paused {
                partition.paused = true;
                flow.pause.push(place.clone());
            } else if low && partition.paused {
                partition.paused = false;
                flow.resume.push(place.clone());
            }
        }
        flow
    }

    /// What is to be committed of a reader's partitions, or of one of them.
    pub(super) fn commits(&self, role: Role, only: Option<&Place>) -> Vec<Commit> {
        let mut state = self.lock();
        let mut commits = Vec::new();
        for (place, partition) in &mut state.partitions {
            let wanted = only.is_none_or(|only| only == place);
            if partition.role != role || !partition.changed || !wanted {
                continue;
            }
            if let Some(offset) = partition.ledger.offset() {
                partition.changed = false;
                commits.push(Commit {
                    place: place.clone(),
                    offset,
                    metadata: partition.ledger.metadata(),
                    told: std::mem::take(&mut partition.told),
                });
            }
        }
        commits
    }

    /// A commit failed: it is tried again, with what was settled since.
    pub(super) fn commit_again(&self, commits: Vec<Commit>) {
        let mut state = self.lock();
        for commit in commits {
            match state.partitions.get_mut(&commit.place) {
                Some(partition) => {
                    partition.changed = true;
                    partition.told.extend(commit.told);
                }
                None => {
                    for told in commit.told {
                        let _ = told.send(Err(gone()));
                    }
                }
            }
        }
    }
}

impl State {
    /// The partition of a record, if it is still the same term of having it.
    fn partition(&mut self, fetched: &Fetched) -> Option<&mut Partition> {
        if self.closed {
            return None;
        }
        let partition = self.partitions.get_mut(&fetched.place)?;
        (partition.term == fetched.term).then_some(partition)
    }
}

/// Why a record that is in hand cannot be settled any more.
pub(super) fn gone() -> BrokerError {
    unavailable(
        "its partition went to another consumer of the group, and the record comes again there",
    )
}
