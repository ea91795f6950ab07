//! What is kept, and for how long.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Plan;
use super::sample::{becomes, channel, everything, keep, offsets, read_all, sized};
use crate::history::{HistoryStore, Page, Retention};
use crate::testing::promise;

/// Much more than what a budget may count for an event besides its payload.
const LARGE: usize = 10_000;

/// The newest events within the limits of number and bytes are kept, and only they.
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_retention<S: HistoryStore>(fresh: &impl AsyncFn() -> S, plan: &Plan) {
    let store = fresh().await;
    let three = Retention {
        events: 3,
        ..everything()
    };
    let page = fill(&store, 0, 10, &three, plan).await;
    let found = offsets(&page);
    promise!(
        found == [8, 9, 10],
        "of a channel the newest `Retention::events` are kept",
        "{found:?} of 10 events where 3 are to be kept"
    );
    let nothing = Retention {
        events: 0,
        ..everything()
    };
    let page = fill(&store, 1, 5, &nothing, plan).await;
    promise!(
        page.publications.is_empty() && page.top.offset == 5 && page.oldest == 6,
        "a retention of 0 events keeps nothing, and positions count on",
        "{page:?} after 5 events"
    );
    let five = Retention {
        bytes: 5 * LARGE + LARGE / 2,
        ..everything()
    };
    let page = fill(&store, 2, 20, &five, plan).await;
    let found = offsets(&page);
    promise!(
        found == [16, 17, 18, 19, 20],
        "of a channel the newest events within `Retention::bytes` are kept",
        "{found:?} of 20 events of {LARGE} bytes where {} are to be kept",
        five.bytes
    );
}

/// Events younger than `recent` are kept beyond the other limits, up to 16 times their bytes.
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_recent<S: HistoryStore>(fresh: &impl AsyncFn() -> S, plan: &Plan) {
    let store = fresh().await;
    let recent = Retention {
        events: 2,
        recent: Duration::from_secs(60 * 60),
        ..everything()
    };
    let page = fill(&store, 0, 10, &recent, plan).await;
    promise!(
        page.publications.len() == 10,
        "events younger than `Retention::recent` are kept even beyond `events`",
        "{:?} of 10 new events",
        offsets(&page)
    );
    let bounded = Retention {
        bytes: LARGE + LARGE / 2,
        ..recent
    };
    let page = fill(&store, 1, 40, &bounded, plan).await;
    let kept = page.publications.len();
    promise!(
        (20..=24).contains(&kept),
        "events younger than `Retention::recent` are kept beyond `bytes`, up to 16 times as much",
        "{kept} of 40 events of {LARGE} bytes where {} are to be kept",
        bounded.bytes
    );
    let brief = Retention {
        events: 2,
        recent: plan.age,
        ..everything()
    };
    fill(&store, 2, 10, &brief, plan).await;
    sleep(plan.age * 3 / 2).await;
    let page = fill(&store, 2, 1, &brief, plan).await;
    let found = offsets(&page);
    promise!(
        found == [10, 11],
        "events older than `Retention::recent` are kept within the other limits only",
        "{found:?} of 10 events that were {:?} old and a new one, where 2 are to be kept",
        plan.age * 3 / 2
    );
}

/// Events are kept until they have reached their age, and not much longer; their channel counts on.
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_age<S: HistoryStore>(fresh: &impl AsyncFn() -> S, plan: &Plan) {
    let store = fresh().await;
    let brief = Retention {
        age: plan.age,
        ..everything()
    };
    let begun = Instant::now();
    let page = fill(&store, 0, 5, &brief, plan).await;
    let read = begun.elapsed();
    promise!(
        page.publications.len() == 5 || read >= plan.age / 2,
        "events are kept until they have reached `Retention::age`",
        "{:?} of 5 events that were at most {read:?} old",
        offsets(&page)
    );
    let old = fill(&store, 1, 5, &everything(), plan).await;
    let channel = channel(0);
    let gone = becomes(plan.age + plan.patience, async || {
        store.expire();
        read_all(&store, &channel, plan)
            .await
            .publications
            .is_empty()
    });
    promise!(
        gone.await,
        "`expire` drops events that have outlived `Retention::age`",
        "{:?} still kept, {:?} after they came",
        offsets(&read_all(&store, &channel, plan).await),
        begun.elapsed()
    );
    let page = read_all(&store, &channel, plan).await;
    promise!(
        page.oldest == page.top.offset + 1,
        "the oldest offset is `top + 1` where nothing is kept",
        "{page:?}"
    );
    let page = read_all(&store, &super::sample::channel(1), plan).await;
    promise!(
        page.publications.len() == old.publications.len(),
        "what has not outlived its retention stays",
        "{:?} of 5 events that are to be kept for an hour",
        offsets(&page)
    );
}

/// Appends so many large events to a channel, and gives what is kept of them.
async fn fill(
    store: &impl HistoryStore,
    number: u32,
    events: u32,
    retention: &Retention,
    plan: &Plan,
) -> Page {
    let channel = channel(number);
    for _ in 0..events {
        keep(store, sized(&channel, LARGE), retention, plan).await;
    }
    read_all(store, &channel, plan).await
}
