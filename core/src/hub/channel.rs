//! One channel: who listens, what waits, and the flush that is under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::Connection;
use super::fan_out::Round;
use super::pending::{Pending, linger};
use super::subscribers::{Seat, Subscriber, Subscribers};
use super::{Shared, Subscription};
use crate::channel::Channel as Name;
use crate::event::{Event, Guarantee, Position, Publication};
use crate::history::Retention;
use crate::sync::Mutex;
use crate::wire::Flush;

/// A channel with subscribers on this node.
#[derive(Debug)]
pub(crate) struct Channel {
    name: Name,
    retention: Retention,
    /// Spreads the flushes of different channels; see [`linger`].
    phase: u8,
    /// The subscribers of each worker.
    lists: Box<[Mutex<Subscribers>]>,
    state: Mutex<State>,
    /// Told when a flush has made room for publishers that wait.
    room: Notify,
}

#[derive(Debug)]
struct State {
    pending: Pending,
    /// Whether workers are busy with a flush. What arrives meanwhile joins the next one.
    flushing: bool,
    /// Flushes begun so far.
    flushes: u64,
    /// The newest position that subscribers have been, or are just being, shown.
    flushed: Position,
    subscribers: usize,
    empty_since: Instant,
    /// Removed from the hub; whoever still holds it must look it up anew.
    removed: bool,
}

/// The channel was removed meanwhile; look it up anew.
#[derive(Debug)]
pub(crate) struct Removed;

/// A flush on its way through the workers.
#[derive(Debug)]
pub(crate) struct FlushUnderWay {
    pub(crate) channel: Arc<Channel>,
    pub(crate) flush: Arc<Flush>,
    number: u64,
    workers_left: AtomicUsize,
}

impl Channel {
    pub(crate) fn new(
        name: Name,
        retention: Retention,
        phase: u8,
        workers: usize,
        top: Position,
    ) -> Self {
        Self {
            name,
            retention,
            phase,
            lists: (0..workers).map(|_| Mutex::default()).collect(),
            state: Mutex::new(State {
                pending: Pending::default(),
                flushing: false,
                flushes: 0,
                flushed: top,
                subscribers: 0,
                empty_since: Instant::now(),
                removed: false,
            }),
            room: Notify::new(),
        }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Numbers an event, keeps it, and has it flushed by its deadline.
    pub(crate) fn accept(
        self: &Arc<Self>,
        event: Event,
        shared: &Arc<Shared>,
    ) -> Result<Option<Position>, Removed> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Removed);
        }
        let publication = shared.keep(event, &self.retention);
        let position = publication.position();
        let event = publication.event();
        let due = event.accepted_at() + linger(&shared.config.linger, event.priority(), self.phase);
        let earlier = state.pending.due().is_none_or(|known| due < known);
        if state.pending.push(publication, due) {
            shared.metrics.conflated.increment(1);
        }
        if state.settle() || state.flushing {
            return Ok(position);
        }
        if due <= Instant::now() || state.pending.bytes() >= shared.config.buffers.flush {
            self.begin_flush(&mut state, shared);
        } else if earlier {
            shared.deadlines.add(due, self);
        }
        Ok(position)
    }

    /// Flushes if it is time to.
    pub(crate) fn flush_if_due(self: &Arc<Self>, shared: &Arc<Shared>) {
        let mut state = self.state.lock();
        if !state.flushing {
            self.go_on(&mut state, shared);
        }
    }

    /// Flushes whatever waits, before its time. For a node that goes down.
    pub(crate) fn flush_now(self: &Arc<Self>, shared: &Arc<Shared>) {
        let mut state = self.state.lock();
        if !state.flushing && state.pending.due().is_some() {
            self.begin_flush(&mut state, shared);
        }
    }

    /// Whether events wait or are under way.
    pub(crate) fn is_busy(&self) -> bool {
        let state = self.state.lock();
        state.flushing || state.pending.due().is_some()
    }

    fn go_on(self: &Arc<Self>, state: &mut State, shared: &Arc<Shared>) {
        let Some(due) = state.pending.due() else {
            return;
        };
        if due <= Instant::now() || state.pending.bytes() >= shared.config.buffers.flush {
            self.begin_flush(state, shared);
        } else {
            // Its place among the deadlines may have gone by while workers were busy.
            shared.deadlines.add(due, self);
        }
    }

    fn begin_flush(self: &Arc<Self>, state: &mut State, shared: &Arc<Shared>) {
        let publications = state.take(shared.config.buffers.flush);
        let listed = (0..self.lists.len()).filter(|&worker| self.lists[worker].lock().len() > 0);
        let workers = listed.collect::<Vec<_>>();
        state.flushes += 1;
        state.flushing = true;
        shared
            .metrics
            .flush_events
            .record(publications.len() as f64);
        let under_way = Arc::new(FlushUnderWay {
            channel: self.clone(),
            flush: Arc::new(Flush::new(self.name.clone(), publications)),
            number: state.flushes,
            workers_left: AtomicUsize::new(workers.len()),
        });
        for worker in workers {
            shared.workers[worker].enqueue(under_way.clone());
        }
    }

    /// Adds a subscriber. It gets every flush that begins from now on; what came before, up to the
    /// returned position, is in history.
    pub(crate) fn join(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
    ) -> Result<(Subscription, Position), Removed> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Removed);
        }
        let seat = self.lists[connection.worker].lock().join(Subscriber {
            connection: connection.clone(),
            joined_after: state.flushes,
        });
        state.subscribers += 1;
        Ok((
            Subscription {
                channel: self.clone(),
                seat,
            },
            state.flushed,
        ))
    }

    /// Removes a subscriber. Says whether it was the last.
    pub(crate) fn leave(&self, worker: usize, seat: Seat) -> bool {
        let mut state = self.state.lock();
        if !self.lists[worker].lock().leave(seat) {
            return false;
        }
        state.subscribers -= 1;
        state.empty_since = Instant::now();
        if state.settle() {
            self.room.notify_waiters();
        }
        state.subscribers == 0
    }

    /// Marks a channel removed that nobody has listened to since `before`.
    pub(crate) fn remove_if_empty_since(&self, before: Instant) -> bool {
        let mut state = self.state.lock();
        let empty = state.subscribers == 0 && !state.flushing && state.empty_since <= before;
        state.removed |= empty;
        empty
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.state.lock().subscribers
    }

    /// The newest position that subscribers have been shown.
    pub(crate) fn flushed(&self) -> Position {
        self.state.lock().flushed
    }

    /// Waits until less than `bytes` wait for the next flush. Cancel safe.
    pub(crate) async fn room(&self, bytes: usize) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.state.lock().pending.bytes() < bytes {
                return;
            }
            room.await;
        }
    }
}

impl State {
    /// Takes events that are about to be shown to subscribers.
    fn take(&mut self, max_bytes: usize) -> Box<[Arc<Publication>]> {
        let publications = self.pending.take(max_bytes);
        if let Some(last) = publications
            .iter()
            .rev()
            .find_map(|publication| publication.position())
        {
            self.flushed = last;
        }
        publications
    }

    /// Lets go of what waits where nobody is left to wait for it: whoever joins later reads it from
    /// history. Kept waiting, it would be flushed to that one a second time.
    fn settle(&mut self) -> bool {
        let settled = self.subscribers == 0 && !self.flushing;
        if settled {
            self.take(usize::MAX);
        }
        settled
    }
}

impl FlushUnderWay {
    /// Queues the flush for a worker's subscribers. To be written by the round's end.
    pub(crate) fn stage(&self, worker: usize, round: &mut Round) {
        let list = self.channel.lists[worker].lock();
        let mut sockets = round.tally();
        for subscriber in list
            .iter()
            .filter(|subscriber| subscriber.joined_after < self.number)
        {
            let connection = &subscriber.connection;
            let pushed = connection.outbox.push_flush(&self.flush);
            sockets[connection.transport.index] += 1;
            round.staged(connection, pushed);
        }
        drop(list);
        round.delivered(&self.flush, sockets);
    }

    /// One worker has written the flush. The last of them begins the next, if it is time.
    pub(crate) fn finish(&self, shared: &Arc<Shared>) {
        if self.workers_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut state = self.channel.state.lock();
            state.flushing = false;
            if !state.settle() {
                self.channel.go_on(&mut state, shared);
            }
            drop(state);
            self.channel.room.notify_waiters();
        }
    }
}

impl Shared {
    /// Numbers and keeps an event; an ephemeral one is only wrapped.
    pub(super) fn keep(&self, event: Event, retention: &Retention) -> Arc<Publication> {
        match event.guarantee() {
            Guarantee::Ephemeral => Arc::new(Publication::new(event, None)),
            Guarantee::AtLeastOnce | Guarantee::BestEffort => self.store.append(event, retention),
        }
    }
}
