//! What is known of each channel in memory: where it stands, and its newest publications.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::clock::whole;
use super::record;
use crate::channel::Channel;
use crate::event::{Event, Publication};
use crate::history::Page;
use crate::position::{Epoch, Position};
use crate::sync::{Guard, Mutex};

const SHARDS: usize = 64;
/// A multiple of the shards, so that a slot belongs to one of them.
const SLOTS: usize = 64 * SHARDS;

/// All channels. A shard's lock is held for moments only, never during I/O.
#[derive(Debug)]
pub(super) struct Channels {
    /// Makes epochs of this folder unlike those of any other.
    seed: u64,
    shards: Box<[Mutex<HashMap<Channel, Entry>>]>,
    /// How often channels of each slot were forgotten. Part of the epoch of channels without an
    /// entry, so that one that was forgotten does not get its old epoch back.
    forgotten: Box<[AtomicU64]>,
}

#[derive(Debug)]
struct Entry {
    epoch: Epoch,
    top: u64,
    /// The oldest offset that is kept, as far as the writer has come.
    oldest: u64,
    /// The longest that an event is kept, in milliseconds.
    age: u64,
    /// The newest publications, without holes: all that are not safe yet, and some that are.
    tail: VecDeque<Arc<Publication>>,
}

/// What memory has of a page, and what the disk has to give.
#[derive(Debug)]
pub(super) struct Found {
    /// The page without what is on disk only.
    pub(super) page: Page,
    /// The offsets before the page's first that lie on disk, first and last.
    pub(super) on_disk: Option<(u64, u64)>,
    /// The longest that an event is kept, in milliseconds.
    pub(super) age: u64,
}

impl Channels {
    pub(super) fn new(seed: u64, forgotten: &[(usize, u64)]) -> Self {
        let channels = Self {
            seed,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            forgotten: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        };
        for &(slot, count) in forgotten {
            channels.forgotten[slot % SLOTS].store(count, Ordering::Relaxed);
        }
        channels
    }

    /// Takes in a channel that was found on disk.
    pub(super) fn restore(&self, channel: Channel, head: &record::Head) {
        let entry = Entry {
            epoch: head.epoch,
            top: head.top,
            oldest: head.oldest,
            age: head.age,
            tail: VecDeque::new(),
        };
        self.shard(&channel).insert(channel, entry);
    }

    /// Numbers an event. `hand_over` passes it on while the channel is locked, so that it comes
    /// there in order, and says whether it was taken.
    pub(super) fn append<T>(
        &self,
        event: Event,
        age: u64,
        hand_over: impl FnOnce(&Arc<Publication>) -> Option<T>,
    ) -> (Arc<Publication>, Option<T>) {
        let mut shard = self.shard(event.channel());
        if !shard.contains_key(event.channel()) {
            let entry = Entry {
                epoch: self.epoch_without_entry(event.channel()),
                top: 0,
                oldest: 1,
                age,
                tail: VecDeque::new(),
            };
            shard.insert(event.channel().clone(), entry);
        }
        let entry = shard
            .get_mut(event.channel())
            .expect("the entry was inserted above");
        entry.top += 1;
        entry.age = age;
        let publication = Arc::new(Publication::new(event, Some(entry.position())));
        let taken = hand_over(&publication);
        if taken.is_some() {
            entry.tail.push_back(publication.clone());
        }
        (publication, taken)
    }

    pub(super) fn top(&self, channel: &Channel) -> Position {
        match self.shard(channel).get(channel) {
            Some(entry) => entry.position(),
            None => self.start(channel),
        }
    }

    /// The oldest offset of an epoch that is kept; none where the epoch is over.
    pub(super) fn oldest(&self, channel: &Channel, epoch: Epoch) -> Option<u64> {
        let shard = self.shard(channel);
        let entry = shard.get(channel).filter(|entry| entry.epoch == epoch)?;
        Some(entry.oldest)
    }

    /// Looks for the offsets in `after + 1 ..= up_to`, the oldest `limit` of them.
    pub(super) fn find(&self, channel: &Channel, after: u64, up_to: u64, limit: usize) -> Found {
        match self.shard(channel).get(channel) {
            Some(entry) => entry.find(after, up_to, limit),
            None => Found {
                page: Page {
                    top: self.start(channel),
                    oldest: 1,
                    publications: Vec::new(),
                },
                on_disk: None,
                age: u64::MAX,
            },
        }
    }

    /// Lets go of what came before `oldest`.
    pub(super) fn trim(&self, channel: &Channel, oldest: u64) {
        if let Some(entry) = self.shard(channel).get_mut(channel) {
            entry.oldest = oldest;
            entry.drop_before(oldest);
        }
    }

    /// Lets go of a publication that can be read from disk, and of those before it.
    pub(super) fn evict(&self, channel: &Channel, position: Position) {
        if let Some(entry) = self.shard(channel).get_mut(channel)
            && entry.epoch == position.epoch
        {
            entry.drop_before(position.offset + 1);
        }
    }

    /// How often channels were forgotten in the slot of this one, and the slot.
    pub(super) fn forgotten(&self, channel: &Channel) -> (usize, u64) {
        let slot = self.slot(channel);
        (slot, self.forgotten[slot].load(Ordering::Acquire))
    }

    /// Forgets a channel, unless something was appended to it since it stood at `position`. Says
    /// whether it is gone.
    pub(super) fn forget(&self, channel: &Channel, position: Position, forgotten: u64) -> bool {
        let slot = self.slot(channel);
        let mut shard = self.shard(channel);
        self.forgotten[slot].store(forgotten, Ordering::Release);
        let unchanged = shard
            .get(channel)
            .is_some_and(|entry| entry.position() == position);
        if unchanged {
            shard.remove(channel);
        }
        unchanged
    }

    /// Bytes of all publications in memory.
    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        let weight_of = |shard: &Mutex<HashMap<Channel, Entry>>| {
            let shard = shard.lock();
            let tails = shard.values().flat_map(|entry| &entry.tail);
            tails.map(|publication| publication.weight()).sum::<usize>()
        };
        self.shards.iter().map(weight_of).sum()
    }

    fn shard(&self, channel: &Channel) -> Guard<'_, HashMap<Channel, Entry>> {
        self.shards[self.slot(channel) % SHARDS].lock()
    }

    fn slot(&self, channel: &Channel) -> usize {
        self.hash(channel) as usize % SLOTS
    }

    /// Where a channel without an entry stands.
    fn start(&self, channel: &Channel) -> Position {
        Position {
            epoch: self.epoch_without_entry(channel),
            offset: 0,
        }
    }

    fn epoch_without_entry(&self, channel: &Channel) -> Epoch {
        let (_, forgotten) = self.forgotten(channel);
        Epoch(self.hash(&(channel, forgotten)))
    }

    /// The same after a restart, so that a subscriber of a channel that nobody has published to
    /// finds its epoch again. Where another toolchain hashes otherwise, it finds a new one.
    fn hash(&self, what: &impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.seed.hash(&mut hasher);
        what.hash(&mut hasher);
        hasher.finish()
    }
}

impl Entry {
    fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.top,
        }
    }

    /// The first offset in memory.
    fn tail_start(&self) -> u64 {
        match self.tail.front().and_then(|first| first.position()) {
            Some(first) => first.offset,
            None => self.top + 1,
        }
    }

    fn find(&self, after: u64, up_to: u64, limit: usize) -> Found {
        let from = after.saturating_add(1).max(self.oldest);
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let to = up_to.min(self.top).min((from - 1).saturating_add(limit));
        let tail_start = self.tail_start();
        let skip = from.saturating_sub(tail_start);
        let count = (to + 1).saturating_sub(from.max(tail_start));
        let on_disk = (from, to.min(tail_start - 1));
        Found {
            page: Page {
                top: self.position(),
                oldest: self.oldest,
                publications: self
                    .tail
                    .iter()
                    .skip(usize::try_from(skip).unwrap_or(usize::MAX))
                    .take(usize::try_from(count).unwrap_or(usize::MAX))
                    .cloned()
                    .collect(),
            },
            on_disk: (on_disk.0 <= on_disk.1).then_some(on_disk),
            age: self.age,
        }
    }

    fn drop_before(&mut self, offset: u64) {
        let start = self.tail_start();
        let count = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
        self.tail.drain(..count.min(self.tail.len()));
        if self.tail.is_empty() {
            self.tail = VecDeque::new();
        }
    }
}

impl Found {
    /// Leaves out what has outlived the channel's retention and was not removed yet. Says after which
    /// offset to look once more where that left room on the page.
    pub(super) fn without_expired(mut self, now: Instant) -> (Page, Option<u64>) {
        let publications = &mut self.page.publications;
        let expired = publications.iter().take_while(|publication| {
            whole(now.saturating_duration_since(publication.event().accepted_at())) > self.age
        });
        let expired = expired.count();
        if let Some(last) = expired.checked_sub(1)
            && let Some(last) = publications[last].position()
        {
            self.page.oldest = last.offset + 1;
            publications.drain(..expired);
            return (self.page, Some(last.offset));
        }
        (self.page, None)
    }
}
