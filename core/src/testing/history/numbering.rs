//! The numbers of publications.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::runtime::Handle;

use super::Plan;
use super::sample::{assert_same, channel, commit, event, everything, offset, offsets, read};
use crate::channel::Channel;
use crate::history::{HistoryStore, Retention};
use crate::testing::promise;

const WITHOUT_HOLES: &str = "offsets of a channel count from 1 without holes";

/// Offsets count from 1 without holes in each channel, however their appends are mixed; `top` is
/// the newest; the publication is the event that was given.
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_numbering<S: HistoryStore>(fresh: &impl AsyncFn() -> S, plan: &Plan) {
    let store = fresh().await;
    let seed = plan.seed;
    let mut random = SmallRng::seed_from_u64(seed);
    promise!(
        store.is_up(),
        "a new store takes in events",
        "`is_up()` is false"
    );
    let mut tops = HashMap::new();
    for number in 0..plan.channels {
        let channel = channel(number);
        let top = store.top(&channel);
        promise!(
            top.offset == 0,
            "the top of a channel without publications has offset 0",
            "{top:?} in {channel}, which is new"
        );
        tops.insert(channel, top);
    }
    for _ in 0..u64::from(plan.channels) * plan.events {
        let channel = channel(random.random_range(0..plan.channels));
        let event = event(&channel, &mut random);
        let appended = store.append(event.clone(), &everything());
        let top = tops.get_mut(&channel).expect("filled above");
        top.offset += 1;
        let found = offset(&appended.publication);
        promise!(
            found == top.offset,
            WITHOUT_HOLES,
            "offset {found} where {} was next in {channel} (seed {seed})",
            top.offset
        );
        promise!(
            appended.publication.position() == Some(*top),
            "a channel keeps its epoch, from before its first publication on",
            "{:?} after {top:?} in {channel} (seed {seed})",
            appended.publication.position()
        );
        let found = store.top(&channel);
        promise!(
            found == *top,
            "`top` is the position of the newest publication",
            "{found:?} in place of {top:?} in {channel} (seed {seed})"
        );
        assert_same(appended.publication.event(), &event, seed);
    }
}

/// Offsets count without holes while many threads append, each to its own channel, and pages hang
/// together while others are written and dropped.
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_concurrency<S: HistoryStore>(fresh: &impl AsyncFn() -> S, plan: &Plan) {
    let store = Arc::new(fresh().await);
    let mut writers = Vec::new();
    let mut readers = Vec::new();
    for number in 0..plan.channels {
        let safe = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            store: store.clone(),
            channel: channel(number),
            safe: safe.clone(),
            plan: plan.clone(),
        };
        let random = SmallRng::seed_from_u64(plan.seed.wrapping_add(u64::from(number)));
        writers.push(tokio::task::spawn_blocking({
            let random = random.clone();
            move || writer.append_all(random)
        }));
        let reader = read_meanwhile(store.clone(), channel(number), safe, plan.clone(), random);
        readers.push(tokio::spawn(reader));
    }
    for task in writers.into_iter().chain(readers) {
        if let Err(error) = task.await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

struct Writer<S> {
    store: Arc<S>,
    channel: Channel,
    safe: Arc<AtomicU64>,
    plan: Plan,
}

/// Few enough that old ones are dropped meanwhile.
const KEPT: usize = 50;

impl<S: HistoryStore> Writer<S> {
    fn append_all(self, mut random: SmallRng) {
        let retention = Retention {
            events: KEPT,
            ..everything()
        };
        let mut ticket = 0;
        for expected in 1..=self.plan.events {
            let appended = self
                .store
                .append(event(&self.channel, &mut random), &retention);
            let found = offset(&appended.publication);
            promise!(
                found == expected,
                WITHOUT_HOLES,
                "offset {found} where {expected} was next in {}, while other threads appended to \
                 other channels",
                self.channel
            );
            promise!(
                appended.ticket >= ticket,
                "tickets never fall",
                "{} after {ticket}",
                appended.ticket
            );
            ticket = appended.ticket;
            if random.random_ratio(1, 16) || expected == self.plan.events {
                Handle::current().block_on(commit(&*self.store, &appended, &self.plan));
                self.safe.store(expected, Ordering::Release);
            }
        }
    }
}

async fn read_meanwhile<S: HistoryStore>(
    store: Arc<S>,
    channel: Channel,
    safe: Arc<AtomicU64>,
    plan: Plan,
    mut random: SmallRng,
) {
    loop {
        let up_to = safe.load(Ordering::Acquire);
        let after = random.random_range(0..=up_to);
        let limit = random.random_range(0..=2 * KEPT);
        let page = read(&*store, &channel, (after, up_to, limit), &plan).await;
        let expected = (page.oldest.max(after + 1)..=up_to).take(limit);
        let (expected, found) = (expected.collect::<Vec<_>>(), offsets(&page));
        promise!(
            found == expected,
            "a page holds the oldest of what is kept of its range, whatever is appended meanwhile",
            "{found:?} in place of {expected:?} of {channel}, of which {} is the oldest kept",
            page.oldest
        );
        promise!(
            page.top.offset >= up_to,
            "a page knows the newest position of its channel",
            "top {:?} of {channel}, where {up_to} was safe before",
            page.top
        );
        if up_to == plan.events {
            return;
        }
        tokio::task::yield_now().await;
    }
}
