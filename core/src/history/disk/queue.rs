//! What waits for the writer, and how far it has come.

use std::collections::HashSet;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::channel::Channel;
use crate::event::Publication;
use crate::history::{HistoryError, Retention};

/// How long a receipt waits for an event to be written with.
const RECEIPTS_WAIT: Duration = Duration::from_secs(1);

/// An event on its way to disk.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) publication: Arc<Publication>,
    pub(super) retention: Retention,
    /// When it was appended, in milliseconds since 1970.
    pub(super) at: u64,
}

/// What the writer has to do. What it holds is bounded by the publishers that wait for their
/// tickets, and for those that do not by [`Buffers::pending`](crate::config::Buffers) of each
/// channel: events that are not safe count as waiting there.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    /// [`Progress::safe`], to be read without a lock.
    safe: AtomicU64,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct State {
    work: Work,
    /// When the first of `work.receipts` was noted.
    receipts_since: Option<Instant>,
    /// The writer is waiting.
    idle: bool,
    /// Nothing more is taken.
    shut: bool,
}

/// What has gathered since the writer last looked.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) appends: Vec<Append>,
    /// The last append's ticket, and those of all before it.
    pub(super) ticket: u64,
    /// Channels whose receipts changed.
    pub(super) receipts: HashSet<Channel>,
    /// Look for what has expired by this time, in milliseconds since 1970.
    pub(super) expire: Option<u64>,
    /// This is the last work.
    pub(super) close: bool,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    safe: u64,
    end: Option<End>,
}

#[derive(Clone, Debug)]
enum End {
    Closed,
    Failed(Arc<str>),
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            safe: AtomicU64::new(0),
            progress: watch::Sender::default(),
        }
    }

    /// Hands an event over and gives its ticket; none where nothing more is taken.
    pub(super) fn append(&self, append: Append) -> Option<u64> {
        let mut state = self.lock();
        if state.shut {
            return None;
        }
        state.work.appends.push(append);
        state.work.ticket += 1;
        let ticket = state.work.ticket;
        self.wake(state);
        Some(ticket)
    }

    /// Has a channel's receipt written, or removed if it is gone.
    pub(super) fn receipt(&self, channel: &Channel) {
        let mut state = self.lock();
        if !state.shut && state.work.receipts.insert(channel.clone()) {
            // The writer must begin to count.
            if state.receipts_since.is_none() {
                state.receipts_since = Some(Instant::now());
                self.wake(state);
            }
        }
    }

    pub(super) fn expire(&self, now: u64) {
        let mut state = self.lock();
        if !state.shut {
            state.work.expire = Some(now);
            self.wake(state);
        }
    }

    /// Takes nothing more; the writer ends when it has done what waits.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.shut = true;
        state.work.close = true;
        self.wake(state);
    }

    /// Takes what waits, and if `patient`, waits until there is something.
    pub(super) fn take(&self, patient: bool) -> Work {
        let mut state = self.lock();
        loop {
            let waits = state.receipts_since.map(|since| since.elapsed());
            let overdue = waits.is_some_and(|waits| waits >= RECEIPTS_WAIT);
            let work = &state.work;
            let due = !work.appends.is_empty() || work.expire.is_some() || work.close || overdue;
            if due || !patient {
                break;
            }
            state.idle = true;
            let waits = waits.map(|waits| RECEIPTS_WAIT - waits);
            state = self.wait(state, waits);
            state.idle = false;
        }
        let next = Work {
            ticket: state.work.ticket,
            ..Work::default()
        };
        let mut work = mem::replace(&mut state.work, next);
        // Receipts go with a commit that is due anyway, or when they have waited long enough.
        let waits = state.receipts_since.map(|since| since.elapsed());
        let overdue = waits.is_some_and(|waits| waits >= RECEIPTS_WAIT);
        if work.appends.is_empty() && !work.close && !overdue {
            state.work.receipts = mem::take(&mut work.receipts);
        } else {
            state.receipts_since = None;
        }
        work
    }

    /// Says that all up to a ticket are safe.
    pub(super) fn advance(&self, safe: u64) {
        self.safe.store(safe, Ordering::Release);
        self.progress.send_modify(|progress| progress.safe = safe);
    }

    /// Says that the writer has ended in order. A failure that was told before stands.
    pub(super) fn closed(&self) {
        self.end(End::Closed);
    }

    /// Says that nothing more becomes safe.
    pub(super) fn fail(&self, why: &str) {
        self.end(End::Failed(why.into()));
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        state.shut = true;
        state.work = Work::default();
        drop(state);
        self.progress.send_modify(|progress| {
            progress.end.get_or_insert(end);
        });
    }

    pub(super) fn safe(&self) -> u64 {
        self.safe.load(Ordering::Acquire)
    }

    /// Resolves when a ticket is safe, or never will be. Cancel safe.
    pub(super) async fn committed(&self, ticket: u64) -> Result<(), HistoryError> {
        if self.safe() >= ticket {
            return Ok(());
        }
        let mut progress = self.progress.subscribe();
        let settled = progress
            .wait_for(|progress| progress.safe >= ticket || progress.end.is_some())
            .await;
        match settled {
            Ok(progress) if progress.safe >= ticket => Ok(()),
            Ok(progress) => Err(match &progress.end {
                Some(End::Failed(why)) => HistoryError::new(why.to_string()),
                Some(End::Closed) | None => HistoryError::new(CLOSED),
            }),
            Err(_) => Err(HistoryError::new(CLOSED)),
        }
    }

    /// Resolves when the writer has ended. Cancel safe.
    pub(super) async fn ended(&self) {
        let mut progress = self.progress.subscribe();
        // The sender is this queue's own.
        let _ = progress.wait_for(|progress| progress.end.is_some()).await;
    }

    pub(super) fn is_open(&self) -> bool {
        !self.lock().shut
    }

    fn wake(&self, state: MutexGuard<'_, State>) {
        let idle = state.idle;
        drop(state);
        if idle {
            self.filled.notify_one();
        }
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        most: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        match most {
            Some(most) => {
                let waited = self.filled.wait_timeout(state, most);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => {
                let waited = self.filled.wait(state);
                waited.unwrap_or_else(PoisonError::into_inner)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said where the store was closed.
pub(super) const CLOSED: &str = "the store was closed";
