//! One channel: who listens, what waits, and the flush that is under way.

mod under_way;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) use self::under_way::FlushUnderWay;
use super::connection::Connection;
use super::pending::{Pending, linger};
use super::subscribers::{Seat, Subscriber, Subscribers};
use super::{Shared, Subscription};
use crate::channel::Channel as Name;
use crate::codec::Notice;
use crate::event::{Event, Publication};
use crate::history::Retention;
use crate::ingress::Delivered;
use crate::position::Position;
use crate::presence::{Member, Members, PresencePolicy, member};
use crate::sync::Mutex;
use crate::wire::{Flush, KnownForms};

/// A channel with subscribers on this node.
#[derive(Debug)]
pub(crate) struct Channel {
    name: Name,
    retention: Retention,
    /// Spreads the flushes of different channels; see [`linger`].
    phase: u8,
    /// The subscribers of each worker.
    lists: Box<[Mutex<Subscribers>]>,
    forms: KnownForms,
    state: Mutex<State>,
    /// Who is there, where the channel's policy wants to know.
    presence: Option<Presence>,
    /// Told when a flush has made room for publishers that wait.
    room: Notify,
}

#[derive(Debug)]
struct Presence {
    policy: PresencePolicy,
    members: Mutex<Members>,
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
    /// Those of them who are told who joins and leaves.
    followers: usize,
    empty_since: Instant,
    /// When its earliest entry among the deadlines comes up.
    reminder: Option<Instant>,
    /// Whether it stands among those that wait for history.
    awaits_commit: bool,
    /// Until when, and from how far back, clients may come back that are not subscribed meanwhile.
    polled: Option<(Instant, Duration)>,
    /// Removed from the hub; whoever still holds it must look it up anew.
    removed: bool,
}

/// The channel was removed meanwhile; look it up anew.
#[derive(Debug)]
pub(crate) struct Removed;

impl Channel {
    pub(crate) fn new(
        name: Name,
        retention: Retention,
        presence: Option<PresencePolicy>,
        phase: u8,
        workers: usize,
        top: Position,
    ) -> Self {
        Self {
            name,
            retention,
            presence: presence.map(|policy| Presence {
                policy,
                members: Mutex::default(),
            }),
            phase,
            lists: (0..workers).map(|_| Mutex::default()).collect(),
            forms: KnownForms::default(),
            state: Mutex::new(State {
                pending: Pending::default(),
                flushing: false,
                flushes: 0,
                flushed: top,
                subscribers: 0,
                followers: 0,
                empty_since: Instant::now(),
                reminder: None,
                awaits_commit: false,
                polled: None,
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
        position: Option<Position>,
        shared: &Arc<Shared>,
    ) -> Result<Delivered, Removed> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Removed);
        }
        let retention = self.retention(&state);
        let appended = shared.ledger.append(event, position, &retention);
        let delivered = Delivered::from(&appended);
        let event = appended.publication.event();
        let due = event.accepted_at() + linger(&shared.config.linger, event.priority(), self.phase);
        if state.pending.push(appended, due) {
            shared.metrics.conflated.increment(1);
        }
        self.go_on(&mut state, shared);
        Ok(delivered)
    }

    /// What is kept: more of a channel that is polled.
    fn retention(&self, state: &State) -> Cow<'_, Retention> {
        match state.polled {
            Some((until, recent)) if until > Instant::now() && recent > self.retention.recent => {
                Cow::Owned(Retention {
                    recent,
                    ..self.retention.clone()
                })
            }
            _ => Cow::Borrowed(&self.retention),
        }
    }

    /// Stays for a while, even if nobody is subscribed: somebody is about to.
    pub(crate) fn expect(&self) -> Result<(), Removed> {
        let mut state = self.state.lock();
        state.empty_since = Instant::now();
        if state.removed { Err(Removed) } else { Ok(()) }
    }

    /// Has at least the events of the last `recent` kept for as long: a client will come back for
    /// them that is not subscribed meanwhile.
    pub(crate) fn keep_for_polls(&self, recent: Duration) -> Result<(), Removed> {
        let mut state = self.state.lock();
        let now = Instant::now();
        // What was promised to one client is not shortened by the next.
        let promised = state.polled.filter(|(until, _)| *until > now);
        let (until, longest) = promised.unwrap_or((now, Duration::ZERO));
        state.polled = Some((until.max(now + recent), longest.max(recent)));
        if state.removed { Err(Removed) } else { Ok(()) }
    }

    /// Flushes if it is time to.
    pub(crate) fn flush_if_due(self: &Arc<Self>, shared: &Arc<Shared>) {
        let mut state = self.state.lock();
        if state.reminder.is_some_and(|at| at <= Instant::now()) {
            state.reminder = None;
        }
        self.go_on(&mut state, shared);
    }

    /// Goes on after history has made more safe.
    pub(crate) fn commit_came(self: &Arc<Self>, shared: &Arc<Shared>) {
        let mut state = self.state.lock();
        state.awaits_commit = false;
        self.go_on(&mut state, shared);
        drop(state);
        self.room.notify_waiters();
    }

    /// Flushes whatever waits, before its time. For a node that goes down.
    pub(crate) fn flush_now(self: &Arc<Self>, shared: &Arc<Shared>) {
        let mut state = self.state.lock();
        state.pending.hurry();
        self.go_on(&mut state, shared);
    }

    /// Shows subscribers, before its time, what waits up to an offset. Cancel safe.
    pub(crate) async fn show(self: &Arc<Self>, offset: u64, shared: &Arc<Shared>) {
        loop {
            let shown = self.room.notified();
            tokio::pin!(shown);
            shown.as_mut().enable();
            {
                let mut state = self.state.lock();
                let first = state.pending.first_offset();
                if first.is_none_or(|first| first > offset) {
                    return;
                }
                state.pending.hurry();
                self.go_on(&mut state, shared);
            }
            shown.await;
        }
    }

    /// Whether events are under way, or wait and can still be shown.
    pub(crate) fn is_busy(&self, shared: &Shared) -> bool {
        let state = self.state.lock();
        let store = &shared.ledger;
        let first = state.pending.first_ticket();
        state.flushing || first.is_some_and(|first| store.is_up() || first <= store.safe())
    }

    /// Does what can be done now with what waits: flushes it, lets go of it, or sees to being called
    /// again when that can be done.
    fn go_on(self: &Arc<Self>, state: &mut State, shared: &Arc<Shared>) {
        if state.flushing {
            return;
        }
        let safe = shared.ledger.safe();
        state.settle(safe);
        let (Some(due), Some(first)) = (state.pending.due(), state.pending.first_ticket()) else {
            return;
        };
        let now = Instant::now();
        let wanted = state.subscribers > 0;
        if wanted && due > now && !state.pending.is_full(&shared.config) {
            if state.reminder.is_none_or(|at| due < at) {
                state.reminder = Some(due);
                shared.deadlines.add(due, self);
            }
        } else if first > safe {
            if !std::mem::replace(&mut state.awaits_commit, true) {
                shared.commits.add(first, self);
            }
        } else {
            self.begin_flush(state, shared, safe);
        }
    }

    fn begin_flush(self: &Arc<Self>, state: &mut State, shared: &Arc<Shared>, safe: u64) {
        let publications = state.take(shared.config.buffers.flush, safe);
        state.flushing = true;
        shared
            .metrics
            .flush_events
            .record(publications.len() as f64);
        let flush = Flush::new(self.name.clone(), publications).bound_by(&shared.visibility);
        self.send(state, flush, shared);
    }

    /// Hands a flush to the workers that have subscribers.
    fn send(self: &Arc<Self>, state: &mut State, flush: Flush, shared: &Shared) {
        let listed = (0..self.lists.len()).filter(|&worker| self.lists[worker].lock().len() > 0);
        let workers = listed.collect::<Vec<_>>();
        state.flushes += 1;
        let under_way = Arc::new(FlushUnderWay {
            channel: self.clone(),
            flush: Arc::new(flush),
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
        follows: bool,
        shared: &Arc<Shared>,
    ) -> Result<(Subscription, Position), Removed> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Removed);
        }
        let seat = self.lists[connection.worker].lock().join(Subscriber {
            connection: connection.clone(),
            joined_after: state.flushes,
            follows,
        });
        state.subscribers += 1;
        state.followers += usize::from(follows);
        let flushed = state.flushed;
        if let (Some(presence), Some(identity)) = (&self.presence, connection.identity()) {
            let user = &identity.user;
            if let Some(gossip) = &shared.gossip {
                gossip.joined(&self.name, connection.id, user);
            }
            self.enter(&mut state, presence, connection.id, user, shared);
        }
        let subscription = Subscription {
            channel: self.clone(),
            seat,
        };
        Ok((subscription, flushed))
    }

    /// Removes a subscriber.
    pub(crate) fn leave(
        self: &Arc<Self>,
        connection: &Connection,
        seat: Seat,
        shared: &Arc<Shared>,
    ) {
        let mut state = self.state.lock();
        let Some(gone) = self.lists[connection.worker].lock().leave(seat) else {
            return;
        };
        state.followers -= usize::from(gone.follows);
        if let Some(gossip) = shared.gossip.as_ref().filter(|_| self.presence.is_some()) {
            gossip.left(&self.name, connection.id);
        }
        self.left(connection.id);
        state.subscribers -= 1;
        state.empty_since = Instant::now();
        if state.subscribers == 0 {
            self.go_on(&mut state, shared);
            drop(state);
            self.room.notify_waiters();
        }
    }

    /// Takes in a client that joined on another node.
    pub(crate) fn joined_elsewhere(
        self: &Arc<Self>,
        client: Uuid,
        user: &Arc<str>,
        shared: &Arc<Shared>,
    ) -> Result<(), Removed> {
        let mut state = self.state.lock();
        if state.removed {
            return Err(Removed);
        }
        if let Some(presence) = &self.presence {
            self.enter(&mut state, presence, client, user, shared);
        }
        Ok(())
    }

    /// Takes a client's leave, which shows unless its user comes back in time.
    pub(crate) fn left(&self, client: Uuid) {
        if let Some(presence) = &self.presence {
            let until = Instant::now() + presence.policy.grace;
            presence.members.lock().leave(client, until);
        }
    }

    fn enter(
        self: &Arc<Self>,
        state: &mut State,
        presence: &Presence,
        client: Uuid,
        user: &Arc<str>,
        shared: &Arc<Shared>,
    ) {
        if presence.members.lock().join(client, user) {
            let joined = Notice::Joined {
                channel: self.name.clone(),
                member: member(client, user),
            };
            self.announce(state, presence, joined, shared);
        }
    }

    /// Tells the channel who is gone for good.
    pub(crate) fn announce_leaves(self: &Arc<Self>, now: Instant, shared: &Arc<Shared>) {
        let Some(presence) = &self.presence else {
            return;
        };
        let mut state = self.state.lock();
        let gone = presence.members.lock().expire(now);
        for member in gone {
            let left = Notice::Left {
                channel: self.name.clone(),
                member,
            };
            self.announce(&mut state, presence, left, shared);
        }
    }

    /// Sends a notice to the followers, past what waits: it has no place among the events.
    fn announce(
        self: &Arc<Self>,
        state: &mut State,
        presence: &Presence,
        notice: Notice,
        shared: &Arc<Shared>,
    ) {
        if state.followers == 0 || state.subscribers > presence.policy.announce_up_to {
            return;
        }
        self.send(state, Flush::of_notice(notice), shared);
    }

    /// Who is there; none where the channel's policy does not want to know.
    pub(crate) fn members(&self) -> Option<Vec<Member>> {
        let presence = self.presence.as_ref()?;
        Some(presence.members.lock().list())
    }

    /// How many clients and users are there.
    pub(crate) fn member_counts(&self) -> Option<(usize, usize)> {
        let presence = self.presence.as_ref()?;
        Some(presence.members.lock().count())
    }

    /// Marks a channel removed that nobody has listened to since `before`.
    pub(crate) fn remove_if_empty_since(&self, before: Instant) -> bool {
        let mut state = self.state.lock();
        let empty = state.subscribers == 0
            && !state.flushing
            && state.pending.due().is_none()
            && state.empty_since <= before
            && self
                .presence
                .as_ref()
                .is_none_or(|presence| presence.members.lock().is_empty())
            && state
                .polled
                .is_none_or(|(until, _)| until <= Instant::now());
        state.removed |= empty;
        empty
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.state.lock().subscribers
    }

    /// Whether somebody is subscribed, or will be back to poll.
    pub(crate) fn is_listened_to(&self) -> bool {
        let state = self.state.lock();
        let polled = state
            .polled
            .is_some_and(|(until, _)| until > Instant::now());
        state.subscribers > 0 || polled
    }

    /// The newest position that subscribers have been shown.
    pub(crate) fn flushed(&self) -> Position {
        self.state.lock().flushed
    }

    /// Has whoever waits for room look again: what waits for history never leaves.
    pub(crate) fn history_failed(&self) {
        self.room.notify_waiters();
    }

    /// Waits until less than `bytes` wait for the next flush, or history fails. Cancel safe.
    pub(crate) async fn room(&self, bytes: usize, shared: &Shared) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.state.lock().pending.bytes() < bytes || !shared.ledger.is_up() {
                return;
            }
            room.await;
        }
    }
}

impl State {
    /// Takes events that are about to be shown to subscribers.
    fn take(&mut self, max_bytes: usize, safe: u64) -> Box<[Arc<Publication>]> {
        let taken = self.pending.take(max_bytes, safe);
        self.flushed = taken.position.unwrap_or(self.flushed);
        taken.publications
    }

    /// Lets go of what waits where nobody is left to wait for it: whoever joins later reads it from
    /// history. Kept waiting, it would be flushed to that one a second time.
    fn settle(&mut self, safe: u64) {
        if self.subscribers == 0 && !self.flushing {
            self.take(usize::MAX, safe);
        }
    }
}
