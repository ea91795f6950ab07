//! The newest part of a broker's log, which every node keeps in memory.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{Page, Retention};
use crate::broker::{Broker, Covered};
use crate::channel::Channel;
use crate::event::{Event, Publication};
use crate::position::Position;
use crate::sync::{Guard, Mutex};

const SHARDS: usize = 64;
/// 32 KiB of offsets.
const SLOTS: usize = 4_096;

/// What a node remembers of the channels of a log. The log has numbered them, so offsets rise and
/// have holes where the events of other channels stand.
#[derive(Debug)]
pub(crate) struct Tail {
    broker: Arc<dyn Broker>,
    shards: Box<[Mutex<HashMap<Channel, Ring>>]>,
    hasher: RandomState,
    /// The newest offset of all rings that were forgotten, by the hash of their channel: nothing is
    /// known of a channel without a ring up to there.
    forgotten: Box<[AtomicU64]>,
}

#[derive(Debug)]
struct Ring {
    top: Position,
    /// All publications from this offset on are kept.
    from: u64,
    kept: VecDeque<Arc<Publication>>,
    bytes: usize,
    age: Duration,
    touched: Instant,
}

impl Tail {
    pub(crate) fn new(broker: Arc<dyn Broker>) -> Self {
        Self {
            broker,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            forgotten: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Keeps an event within `retention`. Offsets of a channel rise within an epoch.
    pub(crate) fn append(
        &self,
        event: Event,
        position: Position,
        retention: &Retention,
    ) -> Arc<Publication> {
        let channel = event.channel().clone();
        let publication = Arc::new(Publication::new(event, Some(position)));
        let mut shard = self.shard(&channel);
        let ring = shard.get_mut(&channel);
        match ring.filter(|ring| ring.top.epoch == position.epoch) {
            Some(ring) => ring.append(publication.clone(), position, retention),
            None => {
                let from = self.known_from(&channel).min(position.offset);
                let mut ring = Ring::new(from, position, retention);
                ring.append(publication.clone(), position, retention);
                shard.insert(channel, ring);
            }
        }
        publication
    }

    /// The newest position of a channel, or one that stands for it: nothing of the channel came
    /// between the two.
    pub(crate) fn top(&self, channel: &Channel) -> Position {
        let covered = self.covered(channel);
        match self.shard(channel).get(channel) {
            Some(ring) if ring.top.epoch == covered.epoch => ring.top,
            _ => covered.top(),
        }
    }

    /// See [`HistoryStore::read`](super::HistoryStore::read).
    pub(crate) fn read(&self, channel: &Channel, after: u64, up_to: u64, limit: usize) -> Page {
        let covered = self.covered(channel);
        let mut shard = self.shard(channel);
        let ring = shard.get_mut(channel);
        match ring.filter(|ring| ring.top.epoch == covered.epoch) {
            Some(ring) => ring.page(after, up_to, limit, covered),
            None => Page {
                top: covered.top(),
                oldest: self.known_from(channel),
                publications: Vec::new(),
            },
        }
    }

    /// Drops what has outlived its retention.
    pub(crate) fn expire(&self) {
        for shard in &self.shards {
            shard.lock().retain(|channel, ring| {
                ring.expire(Instant::now());
                let forgotten = ring.kept.is_empty() && ring.touched.elapsed() > 2 * ring.age;
                if forgotten {
                    let slot = self.forgotten(channel);
                    slot.fetch_max(ring.top.offset, Ordering::AcqRel);
                }
                !forgotten
            });
        }
    }

    /// From which offset on all publications of a channel without a ring are known.
    fn known_from(&self, channel: &Channel) -> u64 {
        let forgotten = self.forgotten(channel).load(Ordering::Acquire);
        self.covered(channel).from.max(forgotten + 1)
    }

    pub(crate) fn covered(&self, channel: &Channel) -> Covered {
        let covered = self.broker.covered(channel);
        covered.expect("a broker that is replayable says what it has covered")
    }

    fn shard(&self, channel: &Channel) -> Guard<'_, HashMap<Channel, Ring>> {
        let hash = self.hasher.hash_one(channel) as usize;
        self.shards[hash % SHARDS].lock()
    }

    fn forgotten(&self, channel: &Channel) -> &AtomicU64 {
        let hash = self.hasher.hash_one(channel) as usize;
        &self.forgotten[hash % SLOTS]
    }
}

impl Ring {
    fn new(from: u64, top: Position, retention: &Retention) -> Self {
        Self {
            top,
            from,
            kept: VecDeque::new(),
            bytes: 0,
            age: retention.age,
            touched: Instant::now(),
        }
    }

    fn append(&mut self, publication: Arc<Publication>, at: Position, retention: &Retention) {
        self.top = at;
        self.age = retention.age;
        self.touched = Instant::now();
        self.bytes += publication.weight();
        self.kept.push_back(publication);
        while let Some(oldest) = self.kept.front() {
            let age = self
                .touched
                .saturating_duration_since(oldest.event().accepted_at());
            if !retention.is_exceeded(self.kept.len(), self.bytes, age) {
                break;
            }
            self.drop_oldest();
        }
    }

    fn page(&mut self, after: u64, up_to: u64, limit: usize, covered: Covered) -> Page {
        self.expire(Instant::now());
        let first = self.kept.partition_point(|kept| offset(kept) <= after);
        let wanted = self.kept.iter().skip(first);
        let wanted = wanted.take_while(|kept| offset(kept) <= up_to);
        Page {
            top: self.top,
            oldest: self.from.max(covered.from),
            publications: wanted.take(limit).cloned().collect(),
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(oldest) = self.kept.front()
            && now.saturating_duration_since(oldest.event().accepted_at()) > self.age
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.bytes -= oldest.weight();
            self.from = self.from.max(offset(&oldest) + 1);
        }
    }
}

fn offset(publication: &Publication) -> u64 {
    publication.position().map_or(0, |position| position.offset)
}

impl Covered {
    fn top(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.to,
        }
    }
}
