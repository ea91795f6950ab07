//! The history of a node that may forget when it ends.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use super::{Appended, HistoryError, HistoryStore, Page, Receipt, Retention};
use crate::BoxFuture;
use crate::channel::Channel;
use crate::event::{Event, Publication};
use crate::position::{Epoch, Position};

const SHARDS: usize = 64;
/// 32 KiB of counters.
const SLOTS: usize = 4_096;
/// Twice as long as anybody is served from one.
const RECEIPTS_STAY: Duration = Duration::from_secs(48 * 60 * 60);

/// Keeps publications in memory. A channel that nobody published to costs nothing; one whose
/// publications have all expired is forgotten after as long again, and gets a new epoch.
#[derive(Debug)]
pub struct Memory {
    shards: Box<[Mutex<HashMap<Channel, Ring>>]>,
    hasher: RandomState,
    /// How often rings have been forgotten, by the hash of their channel. Part of the epoch of
    /// channels without a ring, so that one that was forgotten does not get its old epoch back.
    /// Many: each time all channels of the slot that have no ring change their epoch, and whoever
    /// has a position there is not recovered.
    forgotten: Box<[AtomicU64]>,
    receipts: DashMap<Channel, Receipt>,
}

#[derive(Debug)]
struct Ring {
    epoch: Epoch,
    top: u64,
    kept: VecDeque<Arc<Publication>>,
    bytes: usize,
    age: Duration,
    touched: Instant,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            forgotten: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            receipts: DashMap::new(),
        }
    }
}

impl Memory {
    fn shard(&self, channel: &Channel) -> MutexGuard<'_, HashMap<Channel, Ring>> {
        let hash = self.hasher.hash_one(channel) as usize;
        lock(&self.shards[hash % SHARDS])
    }

    fn epoch_without_ring(&self, channel: &Channel) -> Epoch {
        let forgotten = self.forgotten(channel).load(Ordering::Acquire);
        Epoch(self.hasher.hash_one((channel, forgotten)))
    }

    fn forgotten(&self, channel: &Channel) -> &AtomicU64 {
        let hash = self.hasher.hash_one(channel) as usize;
        &self.forgotten[hash % SLOTS]
    }
}

impl HistoryStore for Memory {
    fn append(&self, event: Event, retention: &Retention) -> Appended {
        let mut shard = self.shard(event.channel());
        if !shard.contains_key(event.channel()) {
            let ring = Ring {
                epoch: self.epoch_without_ring(event.channel()),
                top: 0,
                kept: VecDeque::new(),
                bytes: 0,
                age: retention.age,
                touched: Instant::now(),
            };
            shard.insert(event.channel().clone(), ring);
        }
        let ring = shard
            .get_mut(event.channel())
            .expect("the ring was inserted above");
        Appended {
            publication: ring.append(event, retention),
            ticket: 0,
        }
    }

    fn top(&self, channel: &Channel) -> Position {
        match self.shard(channel).get(channel) {
            Some(ring) => ring.position(),
            None => Position {
                epoch: self.epoch_without_ring(channel),
                offset: 0,
            },
        }
    }

    fn read(
        &self,
        channel: &Channel,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, HistoryError>> {
        let page = match self.shard(channel).get_mut(channel) {
            Some(ring) => ring.page(after, up_to, limit),
            None => Page {
                top: Position {
                    epoch: self.epoch_without_ring(channel),
                    offset: 0,
                },
                oldest: 1,
                publications: Vec::new(),
            },
        };
        Box::pin(std::future::ready(Ok(page)))
    }

    fn safe(&self) -> u64 {
        u64::MAX
    }

    fn committed(&self, _ticket: u64) -> BoxFuture<'_, Result<(), HistoryError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn is_up(&self) -> bool {
        true
    }

    fn note_receipt(&self, channel: &Channel, receipt: Receipt) {
        let mut known = self.receipts.entry(channel.clone()).or_insert(receipt);
        let newer = receipt.position.offset >= known.position.offset;
        if newer || receipt.position.epoch != known.position.epoch {
            *known = receipt;
        }
    }

    fn receipt(&self, channel: &Channel) -> Option<Receipt> {
        self.receipts.get(channel).map(|receipt| *receipt)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn expire(&self) {
        self.receipts
            .retain(|_, receipt| receipt.at.elapsed().is_ok_and(|age| age < RECEIPTS_STAY));
        for shard in &self.shards {
            lock(shard).retain(|channel, ring| {
                ring.expire(Instant::now());
                let forgotten = ring.kept.is_empty() && ring.touched.elapsed() > 2 * ring.age;
                if forgotten {
                    self.forgotten(channel).fetch_add(1, Ordering::Release);
                }
                !forgotten
            });
        }
    }
}

impl Ring {
    fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.top,
        }
    }

    fn append(&mut self, event: Event, retention: &Retention) -> Arc<Publication> {
        self.top += 1;
        self.age = retention.age;
        self.touched = Instant::now();
        let publication = Arc::new(Publication::new(event, Some(self.position())));
        self.bytes += publication.weight();
        self.kept.push_back(publication.clone());
        while let Some(oldest) = self.kept.front() {
            let age = self
                .touched
                .saturating_duration_since(oldest.event().accepted_at());
            if !retention.is_exceeded(self.kept.len(), self.bytes, age) {
                break;
            }
            self.drop_oldest();
        }
        publication
    }

    fn page(&mut self, after: u64, up_to: u64, limit: usize) -> Page {
        self.expire(Instant::now());
        let oldest = self.top + 1 - self.kept.len() as u64;
        let skip = after.saturating_add(1).saturating_sub(oldest);
        let wanted = up_to.min(self.top).saturating_sub(after.max(oldest - 1));
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        Page {
            top: self.position(),
            oldest,
            publications: self
                .kept
                .iter()
                .skip(skip)
                .take(wanted.min(limit))
                .cloned()
                .collect(),
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(oldest) = self.kept.front()
            && now.duration_since(oldest.event().accepted_at()) > self.age
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.bytes -= oldest.weight();
        }
    }
}

/// A panic while a lock is held cannot leave a map or queue of ours half changed, so a poisoned
/// lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(channel: &str, payload: &str) -> Event {
        Event::new(Channel::new(channel).unwrap(), "e", payload.to_owned()).unwrap()
    }

    fn keep(events: usize) -> Retention {
        Retention {
            events,
            ..Retention::default()
        }
    }

    async fn offsets(store: &Memory, after: u64, up_to: u64, limit: usize) -> (u64, Vec<u64>) {
        let channel = Channel::new("thread.1").unwrap();
        let page = store.read(&channel, after, up_to, limit).await.unwrap();
        let offsets = page
            .publications
            .iter()
            .map(|p| p.position().unwrap().offset)
            .collect();
        (page.oldest, offsets)
    }

    #[tokio::test]
    async fn the_newest_events_are_kept() {
        let store = Memory::default();
        for _ in 0..5 {
            store.append(event("thread.1", "1"), &keep(3));
        }
        assert_eq!(offsets(&store, 0, 9, 9).await, (3, vec![3, 4, 5]));
        assert_eq!(offsets(&store, 3, 4, 9).await, (3, vec![4]));
        assert_eq!(offsets(&store, 5, 9, 9).await, (3, vec![]));
        assert_eq!(offsets(&store, 2, 5, 2).await, (3, vec![3, 4]));
        assert_eq!(offsets(&store, u64::MAX, u64::MAX, 2).await, (3, vec![]));
    }

    #[tokio::test]
    async fn bytes_bound_a_channel() {
        let store = Memory::default();
        let one = Publication::new(event("thread.1", "1"), None).weight();
        let retention = Retention {
            bytes: 2 * one,
            ..Retention::default()
        };
        for _ in 0..5 {
            store.append(event("thread.1", "1"), &retention);
        }
        assert_eq!(offsets(&store, 0, 9, 9).await, (4, vec![4, 5]));
    }

    #[tokio::test(start_paused = true)]
    async fn age_bounds_a_channel_and_a_forgotten_one_gets_a_new_epoch() {
        let store = Memory::default();
        let channel = Channel::new("thread.1").unwrap();
        let retention = Retention {
            age: Duration::from_secs(60),
            ..Retention::default()
        };
        let before = store.top(&channel);
        store.append(event("thread.1", "1"), &retention);
        assert_eq!(
            store.top(&channel),
            Position {
                offset: 1,
                ..before
            }
        );
        tokio::time::advance(Duration::from_secs(61)).await;
        store.expire();
        assert_eq!(
            store.top(&channel),
            Position {
                offset: 1,
                ..before
            }
        );
        assert_eq!(offsets(&store, 0, 9, 9).await, (2, vec![]));
        tokio::time::advance(Duration::from_secs(61)).await;
        store.expire();
        let after = store.top(&channel);
        assert_eq!(after.offset, 0);
        assert_ne!(after.epoch, before.epoch);
    }

    proptest! {
        #[test]
        fn a_page_is_the_kept_part_of_the_range(
            count in 0u64..20, keep_events in 0usize..12, after in 0u64..25, length in 0u64..25, limit in 0usize..12,
        ) {
            let store = Memory::default();
            for _ in 0..count {
                store.append(event("thread.1", "1"), &keep(keep_events));
            }
            let kept_from = count + 1 - count.min(keep_events as u64);
            let expected = (after + 1..=after + length)
                .filter(|offset| (kept_from..=count).contains(offset))
                .take(limit)
                .collect::<Vec<_>>();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (oldest, found) = runtime.block_on(offsets(&store, after, after + length, limit));
            prop_assert_eq!(found, expected);
            prop_assert_eq!(oldest, kept_from);
        }
    }
}
