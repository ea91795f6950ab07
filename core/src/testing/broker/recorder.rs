//! What a broker handed over.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Plan, promise};
use crate::event::{Event, Guarantee};
use crate::hub::turns::{Turn, Turns};
use crate::ingress::{Delivered, Ingress};
use crate::position::{Epoch, Position};
use crate::sync::Mutex;

/// An ingress that writes down what it is given. Where the broker numbers, it takes each event once
/// and in its turn, as a node does.
#[derive(Debug, Default)]
pub struct Recorder {
    seen: Mutex<Vec<Seen>>,
    turns: Turns,
    count: watch::Sender<usize>,
}

/// An event that was handed over.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The event.
    pub event: Event,
    /// Its position, where the broker numbers.
    pub position: Option<Position>,
}

impl Recorder {
    /// A recorder that has seen nothing.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Its ingress, for [`Broker::start`](crate::Broker::start).
    #[must_use]
    pub fn ingress(self: &Arc<Self>) -> Ingress {
        Ingress::recording(self.clone())
    }

    /// All that was seen, in order; what nodes say to each other is left out.
    #[must_use]
    pub fn all(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// What was seen of a channel.
    #[must_use]
    pub fn of(&self, channel: &str) -> Vec<Seen> {
        let mut seen = self.all();
        seen.retain(|seen| seen.event.channel().as_str() == channel);
        seen
    }

    /// Waits until at least `count` events of a channel have been seen, and returns them.
    pub(super) async fn until(&self, channel: &str, count: usize, plan: &Plan) -> Vec<Seen> {
        let mut changes = self.count.subscribe();
        let enough = async {
            loop {
                changes.borrow_and_update();
                let seen = self.of(channel);
                if seen.len() >= count {
                    return seen;
                }
                changes
                    .changed()
                    .await
                    .expect("the recorder holds the sender");
            }
        };
        let waited = tokio::time::timeout(plan.patience, enough).await;
        waited.unwrap_or_else(|_| {
            let seen = self.of(channel);
            panic!(
                "broken promise: what was accepted reaches every node\n  seen: {} of {count} in {channel} after {:?}",
                seen.len(),
                plan.patience
            )
        })
    }

    pub(crate) fn deliver(&self, event: Event, at: Option<(Position, bool)>) -> Delivered {
        let position = at.map(|(position, _)| position);
        if event.channel().is_of_nodes() {
            return Delivered::at(None);
        }
        let mut seen = self.seen.lock();
        if let Some((position, begins)) = at {
            promise!(
                event.guarantee() != Guarantee::Ephemeral,
                "ephemeral events have no place in a log",
                "{} came at {position:?}",
                event.name()
            );
            let before = seen
                .iter()
                .rev()
                .find(|seen| seen.event.channel() == event.channel() && seen.position.is_some());
            let last = before.and_then(|seen| seen.position);
            let rises = last
                .is_none_or(|last| last.epoch != position.epoch || last.offset < position.offset);
            promise!(
                rises && position.offset > 0,
                "offsets of a channel rise, from at least 1",
                "{position:?} after {last:?} in {}",
                event.channel()
            );
            if let Some(stamp) = event.stamp()
                && self.turns.take(stamp, begins) != Turn::Take
            {
                return Delivered::at(None);
            }
        }
        seen.push(Seen { event, position });
        self.count.send_replace(seen.len());
        Delivered::at(position)
    }
}

/// The payloads, as numbers.
pub(super) fn numbers(seen: &[Seen]) -> Vec<u64> {
    let number = |seen: &Seen| std::str::from_utf8(seen.event.payload()).ok()?.parse().ok();
    seen.iter().filter_map(number).collect()
}

/// The epochs and offsets.
pub(super) fn positions(seen: &[Seen]) -> Vec<(Epoch, u64)> {
    let positions = seen.iter().filter_map(|seen| seen.position);
    positions.map(|at| (at.epoch, at.offset)).collect()
}
