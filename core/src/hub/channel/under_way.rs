//! A flush on its way through the workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Channel;
use crate::hub::Shared;
use crate::hub::fan_out::Round;
use crate::visibility::RoleSets;
use crate::wire::Flush;

/// A flush that workers hand to the subscribers of its channel.
#[derive(Debug)]
pub(crate) struct FlushUnderWay {
    pub(super) channel: Arc<Channel>,
    pub(super) flush: Arc<Flush>,
    pub(super) number: u64,
    pub(super) workers_left: AtomicUsize,
}

impl FlushUnderWay {
    /// Queues the flush for a worker's subscribers. To be written by the round's end.
    pub(crate) fn stage(&self, worker: usize, round: &mut Round) {
        self.channel.forms.encode_ahead(&self.flush);
        let list = self.channel.lists[worker].lock();
        let mut shares = Shares::of(&self.flush, round);
        for subscriber in list
            .iter()
            .filter(|subscriber| subscriber.joined_after < self.number)
            .filter(|subscriber| subscriber.follows || !self.flush.is_notice())
        {
            let connection = &subscriber.connection;
            let share = shares.seen_by(connection.sees());
            let pushed = connection.outbox.push_flush(&share.flush);
            share.sockets[connection.transport.index] += u32::from(pushed.queued);
            round.staged(connection, pushed);
        }
        drop(list);
        self.channel.forms.learn(&self.flush);
        round.delivered(shares.whole.flush, shares.whole.sockets);
        for (_, part) in shares.parts {
            round.delivered(part.flush, part.sockets);
        }
    }

    /// One worker has written the flush. The last of them begins the next, if it is time.
    pub(crate) fn finish(&self, shared: &Arc<Shared>) {
        let last = self.workers_left.fetch_sub(1, Ordering::AcqRel) == 1;
        if last && !self.flush.is_notice() {
            let mut state = self.channel.state.lock();
            state.flushing = false;
            self.channel.go_on(&mut state, shared);
            drop(state);
            self.channel.room.notify_waiters();
        }
    }
}

/// A flush as a worker's subscribers get it: whole, and in parts where some may not see all of it.
struct Shares {
    /// The sets of roles that its events need; nothing where everyone gets all.
    needs: RoleSets,
    whole: Share,
    parts: Vec<(RoleSets, Share)>,
}

/// What a number of subscribers get alike, and how many by transport.
struct Share {
    flush: Arc<Flush>,
    sockets: Vec<u32>,
}

impl Shares {
    fn of(flush: &Arc<Flush>, round: &Round) -> Self {
        Self {
            needs: flush.needs(),
            whole: Share {
                flush: flush.clone(),
                sockets: round.tally(),
            },
            parts: Vec::new(),
        }
    }

    /// What one gets who satisfies these sets.
    fn seen_by(&mut self, sees: RoleSets) -> &mut Share {
        let sees = sees & self.needs;
        if sees == self.needs {
            return &mut self.whole;
        }
        let known = self.parts.iter().position(|(known, _)| *known == sees);
        let at = known.unwrap_or_else(|| {
            let flush = self.whole.flush.seen_by(sees);
            let sockets = vec![0; self.whole.sockets.len()];
            self.parts.push((sees, Share { flush, sockets }));
            self.parts.len() - 1
        });
        &mut self.parts[at].1
    }
}
