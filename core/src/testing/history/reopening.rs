//! What survives.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::timeout;

use super::Plan;
use super::epochs::forget;
use super::receipts::at;
use super::sample::{
    assert_same, becomes, channel, commit, event, everything, keep, offset, offsets, read_all,
    sized,
};
use crate::channel::Channel;
use crate::event::Event;
use crate::history::{HistoryStore, Retention};
use crate::position::Position;
use crate::testing::promise;

/// What was committed is there when the store is opened again, whether it was closed or dropped:
/// events with all they brought, positions, receipts; retention and offsets go on; a forgotten epoch
/// does not come back. `open` as for [`check_durable`](super::check_durable).
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_reopening<S: HistoryStore>(open: &impl AsyncFn(u32) -> S, plan: &Plan) {
    for (place, ending) in [(0, Ending::Close), (1, Ending::Drop)] {
        contents_survive(&async || open(place).await, ending, plan).await;
    }
    close_keeps_all(&async || open(2).await, plan).await;
    drop_keeps_a_prefix(&async || open(3).await, plan).await;
    receipts_survive(&async || open(4).await, plan).await;
    retention_goes_on(&async || open(5).await, plan).await;
    forgotten_stays_forgotten(&async || open(6).await, plan).await;
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Close,
    Drop,
}

impl Ending {
    async fn end(self, store: impl HistoryStore, plan: &Plan) {
        if let Self::Close = self {
            promise!(
                timeout(plan.patience, store.close()).await.is_ok(),
                "`close` ends",
                "it was not resolved after {:?}",
                plan.patience
            );
        }
        drop(store);
    }
}

async fn contents_survive<S: HistoryStore>(
    open: &impl AsyncFn() -> S,
    ending: Ending,
    plan: &Plan,
) {
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let mut appended: Vec<Vec<Event>> = vec![Vec::new(); plan.channels as usize];
    let mut tops: Vec<Option<Position>> = vec![None; plan.channels as usize];
    // The second and third time there is something already.
    for _ in 0..3 {
        let store = open().await;
        let mut last = None;
        for number in 0..plan.channels {
            let channel = channel(number);
            let events = &mut appended[number as usize];
            let top = tops[number as usize];
            if let Some(top) = top {
                assert_kept(&store, &channel, events, top, plan).await;
            }
            for _ in 0..plan.events / 4 {
                let event = event(&channel, &mut random);
                events.push(event.clone());
                let kept = store.append(event, &everything());
                let found = kept.publication.position();
                let expected = Position {
                    epoch: top.or(found).map_or(crate::Epoch::new(0), |top| top.epoch),
                    offset: events.len() as u64,
                };
                promise!(
                    found == Some(expected),
                    "offsets go on without holes, in the same epoch, when a store is opened again",
                    "{found:?} where {expected:?} was next in {channel} after {ending:?} (seed {})",
                    plan.seed
                );
                last = Some(kept);
            }
            tops[number as usize] = Some(store.top(&channel));
        }
        if let Some(last) = last {
            commit(&store, &last, plan).await;
        }
        ending.end(store, plan).await;
    }
}

async fn assert_kept(
    store: &impl HistoryStore,
    channel: &Channel,
    events: &[Event],
    top: Position,
    plan: &Plan,
) {
    let found = store.top(channel);
    promise!(
        found == top,
        "positions are the same when a store is opened again",
        "{found:?} in place of {top:?} in {channel} (seed {})",
        plan.seed
    );
    let page = read_all(store, channel, plan).await;
    let expected = (1..=events.len() as u64).collect::<Vec<_>>();
    promise!(
        offsets(&page) == expected,
        "everything that was committed is there when a store is opened again",
        "{:?} of {} events of {channel} (seed {})",
        offsets(&page),
        events.len(),
        plan.seed
    );
    for (publication, event) in page.publications.iter().zip(events) {
        promise!(
            publication
                .position()
                .is_some_and(|position| position.epoch == top.epoch),
            "an event that is read again has the epoch that it had",
            "{:?} in the epoch {}",
            publication.position(),
            top.epoch
        );
        assert_same(publication.event(), event, plan.seed);
    }
}

/// Nobody waits for anything to be committed.
async fn close_keeps_all<S: HistoryStore>(open: &impl AsyncFn() -> S, plan: &Plan) {
    let store = open().await;
    let channel = channel(0);
    for _ in 0..plan.events {
        store.append(sized(&channel, 100), &everything());
    }
    Ending::Close.end(store, plan).await;
    let found = open().await.top(&channel).offset;
    promise!(
        found == plan.events,
        "`close` makes everything safe that was appended before",
        "{found} of {} events when the store was opened again",
        plan.events
    );
}

async fn drop_keeps_a_prefix<S: HistoryStore>(open: &impl AsyncFn() -> S, plan: &Plan) {
    let store = open().await;
    let channel = channel(0);
    let mut random = SmallRng::seed_from_u64(plan.seed);
    let mut events = Vec::new();
    let committed = plan.events / 2;
    for number in 1..=plan.events {
        let event = event(&channel, &mut random);
        events.push(event.clone());
        let appended = store.append(event, &everything());
        if number == committed {
            commit(&store, &appended, plan).await;
        }
    }
    drop(store);
    let store = open().await;
    let top = store.top(&channel);
    promise!(
        (committed..=plan.events).contains(&top.offset),
        "everything that was committed is there when a store is opened again",
        "{} of {} events, of which {committed} were committed (seed {})",
        top.offset,
        plan.events,
        plan.seed
    );
    events.truncate(usize::try_from(top.offset).unwrap_or(usize::MAX));
    assert_kept(&store, &channel, &events, top, plan).await;
}

async fn receipts_survive<S: HistoryStore>(open: &impl AsyncFn() -> S, plan: &Plan) {
    let store = open().await;
    let receipts = [(channel(0), at(1, 7)), (channel(1), at(2, 9))];
    for (channel, receipt) in &receipts {
        store.note_receipt(channel, at(1, 3));
        store.note_receipt(channel, *receipt);
    }
    Ending::Close.end(store, plan).await;
    let store = open().await;
    for (channel, receipt) in &receipts {
        let found = store.receipt(channel);
        promise!(
            found == Some(*receipt),
            "receipts are there when a store was closed and is opened again",
            "{found:?} in place of {receipt:?}"
        );
    }
}

async fn retention_goes_on<S: HistoryStore>(open: &impl AsyncFn() -> S, plan: &Plan) {
    let (counted, aged) = (channel(0), channel(1));
    let three = Retention {
        events: 3,
        ..everything()
    };
    let brief = Retention {
        age: plan.age,
        ..everything()
    };
    let store = open().await;
    for _ in 0..5 {
        keep(&store, sized(&counted, 100), &three, plan).await;
        keep(&store, sized(&aged, 100), &brief, plan).await;
    }
    Ending::Close.end(store, plan).await;
    let store = open().await;
    let found = offsets(&read_all(&store, &counted, plan).await);
    promise!(
        found == [3, 4, 5],
        "what was dropped does not come back when a store is opened again",
        "{found:?} where 3 to 5 were kept"
    );
    keep(&store, sized(&counted, 100), &three, plan).await;
    let found = offsets(&read_all(&store, &counted, plan).await);
    promise!(
        found == [4, 5, 6],
        "retention counts what was there before a store was opened again",
        "{found:?} where the newest 3 of 6 are to be kept"
    );
    let gone = becomes(plan.age + plan.patience, async || {
        store.expire();
        read_all(&store, &aged, plan).await.publications.is_empty()
    });
    promise!(
        gone.await,
        "events that were there before a store was opened again end with their age",
        "{:?} still kept",
        offsets(&read_all(&store, &aged, plan).await)
    );
}

async fn forgotten_stays_forgotten<S: HistoryStore>(open: &impl AsyncFn() -> S, plan: &Plan) {
    let channel = channel(0);
    let brief = Retention {
        age: plan.age,
        ..everything()
    };
    let store = open().await;
    for _ in 0..3 {
        keep(&store, sized(&channel, 100), &brief, plan).await;
    }
    let top = store.top(&channel);
    let forgotten = forget(&store, &channel, top, plan).await;
    Ending::Close.end(store, plan).await;
    let store = open().await;
    let next = keep(&store, sized(&channel, 100), &brief, plan).await;
    let same = next.position().is_some_and(|next| next.epoch == top.epoch);
    promise!(
        !(forgotten && same),
        "an epoch never comes back with other contents, nor when a store is opened again",
        "{:?} after {top:?} was forgotten",
        next.position()
    );
    promise!(
        !same || offset(&next) == top.offset + 1,
        "offsets go on without holes when a store is opened again",
        "{:?} after {top:?}",
        next.position()
    );
}
