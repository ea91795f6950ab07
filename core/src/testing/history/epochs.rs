//! Incarnations of a channel's offsets.

use std::time::Duration;

use super::Plan;
use super::sample::{becomes, channel, everything, keep, offset, read_all, sized};
use crate::history::{HistoryStore, Retention};
use crate::position::Position;
use crate::testing::promise;

/// A channel whose offsets were forgotten begins again at 1 under an epoch that it never had. A store
/// that forgets nothing counts on.
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_epochs<S: HistoryStore>(fresh: &impl AsyncFn() -> S, plan: &Plan) {
    let store = fresh().await;
    let channel = channel(0);
    let brief = Retention {
        age: plan.age,
        ..everything()
    };
    let other = super::sample::channel(1);
    let stays = keep(&store, sized(&other, 9), &everything(), plan).await;
    let mut epochs = Vec::new();
    for _ in 0..3 {
        let before = store.top(&channel);
        for _ in 0..3 {
            keep(&store, sized(&channel, 9), &brief, plan).await;
        }
        let top = store.top(&channel);
        let expected = Position {
            offset: before.offset + 3,
            ..before
        };
        promise!(
            top == expected,
            "a channel keeps its epoch while its offsets are kept",
            "{top:?} three events after {before:?}"
        );
        promise!(
            before.offset > 0 || !epochs.contains(&top.epoch),
            "an epoch never comes back with other contents",
            "{:?} again after the offsets of {epochs:?} were forgotten",
            top.epoch
        );
        epochs.push(top.epoch);
        if !forget(&store, &channel, top, plan).await {
            let next = keep(&store, sized(&channel, 9), &brief, plan).await;
            promise!(
                offset(&next) == top.offset + 1,
                "a channel whose offsets are kept counts on",
                "{:?} after {top:?}",
                next.position()
            );
        }
    }
    let page = read_all(&store, &other, plan).await;
    promise!(
        stays.position() == Some(page.top) && page.publications.len() == 1,
        "forgetting one channel leaves the others as they were",
        "{page:?} where {:?} was appended",
        stays.position()
    );
}

/// Waits until a channel without contents is forgotten, and says whether that happened.
pub(super) async fn forget(
    store: &impl HistoryStore,
    channel: &crate::Channel,
    top: Position,
    plan: &Plan,
) -> bool {
    let forgotten = becomes(plan.age * 8 + Duration::from_millis(200), async || {
        store.expire();
        store.top(channel) != top
    });
    if !forgotten.await {
        return false;
    }
    let now = store.top(channel);
    promise!(
        now.offset == 0 && now.epoch != top.epoch,
        "a store that forgets a channel's offsets chooses a new epoch for it, at offset 0",
        "{now:?} after {top:?}"
    );
    true
}
