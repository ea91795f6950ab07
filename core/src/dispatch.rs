//! From a publisher to a server that may be away: the broker between nodes, or that of the service
//! topics.
//!
//! Every [lane](Channel::lane) has a task that hands its items to the carrier in order, many under way
//! at a time. While the carrier is away, what must arrive is kept on disk, if there is one, and its
//! publisher is told that it is accepted; when the carrier is back, it is sent in order before anything
//! newer. What was under way when the carrier went away may have come or not: it is sent again.

mod lane;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;

use self::lane::Lane;
use crate::BoxFuture;
use crate::broker::{BrokerError, BrokerErrorKind, Published, Spill};
use crate::channel::LANES;
use crate::event::Stamp;

/// What may wait in a lane for its carrier, in KiB; a publisher that meets it waits.
const ROOM: usize = 8 * 1024;

/// What takes items elsewhere.
pub(crate) trait Carrier: fmt::Debug + Send + Sync + 'static {
    type Item: Clone + fmt::Debug + Send + Sync + 'static;
    /// What items have in common that are sent one after the other, until one of them fails and they
    /// are sent again.
    type Pass: Default + Send;

    /// What it is, for the log.
    const NAME: &'static str;
    /// How long a publisher waits for a carrier that has gone away and where there is no disk to keep
    /// what it published.
    const PATIENCE: Duration;

    /// Sends an item; see [`Broker::publish`](crate::Broker::publish). Must resolve in bounded time:
    /// a carrier that does not answer is away.
    fn carry(
        self: Arc<Self>,
        pass: &mut Self::Pass,
        item: Self::Item,
    ) -> BoxFuture<'static, Result<Published, BrokerError>>;

    /// Whether that can be done now, as far as is known.
    fn is_up(&self) -> bool;

    /// The item in its place of a run.
    fn stamp(&self, item: &Self::Item, stamp: Stamp) -> Self::Item;

    /// An item that says nothing, in the place of one that was refused; none where readers do not
    /// count, so that it may be left out.
    fn void(&self, item: &Self::Item) -> Option<Self::Item>;

    fn encode(&self, item: &Self::Item) -> Bytes;

    /// What [`encode`](Self::encode) wrote; none where it did not.
    fn decode(&self, frame: Bytes) -> Option<Self::Item>;

    /// Does without the carrier for what need not arrive everywhere; none where it must, and has to
    /// be kept until the carrier is back.
    fn make_do(&self, item: &Self::Item) -> Option<Result<Published, BrokerError>>;

    fn weight(&self, item: &Self::Item) -> usize;
}

/// The lanes to a carrier.
pub(crate) struct Dispatch<C: Carrier> {
    carrier: Arc<C>,
    lanes: Box<[Entrance<C::Item>]>,
    tasks: Box<[AbortHandle]>,
    away: Arc<AtomicBool>,
}

struct Entrance<I> {
    waiting: mpsc::UnboundedSender<Waiting<I>>,
    room: Arc<Semaphore>,
}

/// An item that waits for its lane.
struct Waiting<I> {
    item: I,
    done: oneshot::Sender<Result<Published, BrokerError>>,
    room: OwnedSemaphorePermit,
}

/// Leave to hand an item to a lane, or several.
pub(crate) struct Room(OwnedSemaphorePermit);

impl Room {
    /// The part of an item that weighs so much; of what is left, where that is less.
    pub(crate) fn part(&mut self, weight: usize) -> Self {
        let left = self.0.num_permits();
        let part = left.min(kib(weight) as usize);
        Self(self.0.split(part).expect("no more than is left"))
    }
}

impl<C: Carrier> Dispatch<C> {
    /// Starts the lanes on the current runtime, with what an earlier life left in the spill.
    pub(crate) fn start(carrier: Arc<C>, spill: Option<&Arc<dyn Spill>>) -> Self {
        let away = Arc::<AtomicBool>::default();
        let mut lanes = Vec::with_capacity(LANES);
        let mut tasks = Vec::with_capacity(LANES);
        for number in 0..LANES {
            let (waiting, queue) = mpsc::unbounded_channel();
            let number = u16::try_from(number).expect("there are few lanes");
            let lane = Lane::new(number, carrier.clone(), spill.cloned(), queue, away.clone());
            tasks.push(tokio::spawn(lane.run()).abort_handle());
            lanes.push(Entrance {
                waiting,
                room: Arc::new(Semaphore::new(ROOM)),
            });
        }
        Self {
            carrier,
            lanes: lanes.into(),
            tasks: tasks.into(),
            away,
        }
    }

    /// Whether the carrier was away when it was last used, or says that it is.
    pub(crate) fn is_up(&self) -> bool {
        self.carrier.is_up() && !self.away.load(Ordering::Relaxed)
    }

    /// Waits until an item may be handed to a lane. Cancel safe.
    pub(crate) async fn room(&self, lane: usize, item: &C::Item) -> Room {
        let weight = kib(self.carrier.weight(item));
        let room = self.lanes[lane].room.clone().acquire_many_owned(weight);
        Room(room.await.expect("the semaphore is never closed"))
    }

    /// Room for items of these weights together; none where there is not enough now. More than a lane
    /// ever holds gets in where nothing else is there.
    pub(crate) fn try_room(
        &self,
        lane: usize,
        weights: impl Iterator<Item = usize>,
    ) -> Option<Room> {
        let most = u32::try_from(ROOM).expect("there is little room");
        let weight = weights.fold(0u32, |sum, weight| sum.saturating_add(kib(weight)));
        let room = self.lanes[lane].room.clone();
        room.try_acquire_many_owned(weight.min(most)).ok().map(Room)
    }

    /// Hands an item to its lane, in the order of the calls; the future says what became of it, and
    /// may be dropped.
    pub(crate) fn send(
        &self,
        lane: usize,
        item: C::Item,
        room: Room,
    ) -> impl Future<Output = Result<Published, BrokerError>> + Send + use<C> {
        let (done, outcome) = oneshot::channel();
        let waiting = Waiting {
            item,
            done,
            room: room.0,
        };
        // Where the lane is gone the outcome says so.
        let _ = self.lanes[lane].waiting.send(waiting);
        async move {
            outcome.await.unwrap_or_else(|_| {
                let kind = BrokerErrorKind::Unavailable;
                Err(BrokerError::new(kind, "the node has ended"))
            })
        }
    }
}

impl<C: Carrier> Dispatch<C> {
    /// Resolves once nothing is under way. Cancel safe.
    pub(crate) async fn settled(&self) {
        let all = u32::try_from(ROOM).expect("there is little room");
        for lane in &self.lanes {
            let _ = lane.room.acquire_many(all).await;
        }
    }

    /// Ends the lanes, whatever is under way. What is on disk stays there.
    pub(crate) fn stop(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl<C: Carrier> Drop for Dispatch<C> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Bytes as the permits of a lane count them.
fn kib(weight: usize) -> u32 {
    u32::try_from((weight / 1024 + 1).min(ROOM)).expect("there is little room")
}

impl<C: Carrier> fmt::Debug for Dispatch<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch")
            .field("carrier", &self.carrier)
            .finish_non_exhaustive()
    }
}
