//! How far users have received.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Plan;
use super::sample::channel;
use crate::history::{HistoryStore, Receipt};
use crate::position::{Epoch, Position};
use crate::testing::promise;

/// Receipts never go back within an epoch, and begin anew with another.
///
/// # Panics
/// With the promise that the store breaks.
pub async fn check_receipts<S: HistoryStore>(fresh: &impl AsyncFn() -> S, _plan: &Plan) {
    let store = fresh().await;
    let (channel, other) = (channel(0), channel(1));
    promise!(
        store.receipt(&channel).is_none(),
        "there is no receipt where none was noted",
        "{:?}",
        store.receipt(&channel)
    );
    // What is noted, and what stands then.
    let steps = [
        (at(1, 5), at(1, 5)),
        (at(1, 3), at(1, 5)),
        (at(1, 8), at(1, 8)),
        (at(2, 1), at(2, 1)),
        (at(2, 0), at(2, 1)),
    ];
    for (noted, expected) in steps {
        store.note_receipt(&channel, noted);
        let found = store.receipt(&channel);
        promise!(
            found.map(|receipt| receipt.position) == Some(expected.position),
            "a receipt never goes back within an epoch, and follows the channel to the next",
            "{found:?} after {noted:?}, where {:?} was to stand",
            expected.position
        );
    }
    store.expire();
    promise!(
        store.receipt(&channel).is_some() && store.receipt(&other).is_none(),
        "a receipt stands for its channel alone, and does not end soon",
        "{:?} and, for a channel without, {:?}",
        store.receipt(&channel),
        store.receipt(&other)
    );
}

/// A receipt of just now, at a whole millisecond.
pub(super) fn at(epoch: u64, offset: u64) -> Receipt {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_millis();
    Receipt {
        position: Position {
            epoch: Epoch::new(epoch),
            offset,
        },
        at: UNIX_EPOCH + Duration::from_millis(u64::try_from(now).unwrap_or_default()),
    }
}
