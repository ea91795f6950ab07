//! The loop that hands flushes to sockets, and nothing else.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Shared;
use super::channel::FlushUnderWay;
use super::connection::Connection;
use super::wheel::Wheel;
use crate::session::outbox::Pushed;
use crate::sync::Mutex;
use crate::wire::Flush;

/// Sockets written before other tasks get a turn: about a third of a millisecond.
const WRITES_PER_TURN: usize = 64;

/// Owns a share of the connections and writes what their channels flush.
///
/// Works in rounds: stage every flush that is ready in the outboxes of its subscribers, then write
/// each outbox once. A connection that several channels flush to in one round gets one system call,
/// and a channel that fills while a round runs flushes once after it: under load the system batches
/// by itself, at rest it adds no delay.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    ready: Mutex<Vec<Arc<FlushUnderWay>>>,
    wake: Notify,
    pub(crate) wheel: Mutex<Wheel>,
}

/// The connections that a round has to write.
#[derive(Debug)]
pub(crate) struct Round {
    staged: Vec<Arc<Connection>>,
    /// What to count once the round is written: a flush, and its sockets by transport.
    delivered: Vec<(Arc<Flush>, Vec<u32>)>,
    transports: usize,
    conflated: u64,
    dropped: u64,
    /// Those that are ended because they are behind, and what waited for them.
    slow: Vec<(Arc<Connection>, u64)>,
    given_up: u64,
}

impl Worker {
    pub(crate) fn enqueue(&self, flush: Arc<FlushUnderWay>) {
        self.ready.lock().push(flush);
        self.wake.notify_one();
    }

    /// Works until the node is dropped.
    pub(crate) async fn run(&self, index: usize, shared: &Arc<Shared>) {
        let mut tick = interval(std::time::Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flushes = Vec::new();
        loop {
            tokio::select! {
                // Timers first: under load there is always something to write.
                biased;
                _ = tick.tick() => self.look_at_timers(shared).await,
                () = self.wake.notified() => {}
            }
            std::mem::swap(&mut flushes, &mut self.ready.lock());
            if flushes.is_empty() {
                continue;
            }
            let mut round = Round::new(shared.metrics.transports());
            for flush in &flushes {
                flush.stage(index, &mut round);
            }
            round.write(shared).await;
            for flush in flushes.drain(..) {
                flush.finish(shared);
            }
        }
    }

    async fn look_at_timers(&self, shared: &Arc<Shared>) {
        let due = self.wheel.lock().turn(shared.now());
        for (at, (connection, due)) in due.into_iter().enumerate() {
            connection.act(due, shared);
            if at % WRITES_PER_TURN == WRITES_PER_TURN - 1 {
                yield_now().await;
            }
        }
    }
}

impl Round {
    fn new(transports: usize) -> Self {
        Self {
            staged: Vec::new(),
            delivered: Vec::new(),
            transports,
            conflated: 0,
            dropped: 0,
            slow: Vec::new(),
            given_up: 0,
        }
    }

    /// A tally of sockets by transport, all zero.
    pub(crate) fn tally(&self) -> Vec<u32> {
        vec![0; self.transports]
    }

    pub(crate) fn staged(&mut self, connection: &Arc<Connection>, pushed: Pushed) {
        if pushed.newly_staged {
            self.staged.push(connection.clone());
        }
        self.conflated += pushed.conflated;
        self.dropped += pushed.dropped;
        if pushed.overflowed {
            self.slow.push((connection.clone(), pushed.given_up));
        }
        self.given_up += pushed.given_up;
    }

    pub(crate) fn delivered(&mut self, flush: Arc<Flush>, sockets: Vec<u32>) {
        self.delivered.push((flush, sockets));
    }

    async fn write(self, shared: &Shared) {
        for (at, connection) in self.staged.into_iter().enumerate() {
            connection.outbox.write();
            if at % WRITES_PER_TURN == WRITES_PER_TURN - 1 {
                yield_now().await;
            }
        }
        let metrics = &shared.metrics;
        metrics.conflated.increment(self.conflated);
        metrics.dropped.increment(self.dropped);
        metrics.slow_disconnects.increment(self.slow.len() as u64);
        metrics.disconnected.increment(self.given_up);
        for (connection, events) in &self.slow {
            shared.notices.tell(|| connection.slow(*events));
        }
        let now = Instant::now();
        for (flush, sockets) in &self.delivered {
            metrics.delivered(flush, sockets, now);
        }
    }
}
