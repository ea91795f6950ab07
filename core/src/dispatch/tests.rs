//! Lanes against a carrier that fails in every way, with all readers of its log as witnesses.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use proptest::prelude::*;
use tokio::time::Instant;

use super::lane::LOOK;
use super::*;
use crate::broker::SpillError;
use crate::hub::turns::{Turn, Turns};

/// The id of what says nothing.
const VOID: u32 = u32::MAX - 1;

/// What the log holds, and what happens to the next items.
#[derive(Debug, Default)]
struct Wire {
    log: Mutex<Vec<Item>>,
    fates: Mutex<VecDeque<Fate>>,
    refused: Mutex<Vec<u32>>,
    down: AtomicBool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    id: u32,
    stamp: Option<Stamp>,
    must_arrive: bool,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Comes,
    /// It is written, and nobody is told.
    ComesUnconfirmed,
    IsLost,
    IsRefused,
    /// The server goes away for so many milliseconds.
    Outage(u64),
}

impl Carrier for Wire {
    type Item = Item;
    type Pass = ();

    const NAME: &'static str = "the wire";
    const PATIENCE: Duration = Duration::from_secs(5);

    fn carry(
        self: Arc<Self>,
        (): &mut (),
        item: Item,
    ) -> BoxFuture<'static, Result<Published, BrokerError>> {
        Box::pin(async move {
            let unavailable = || Err(BrokerError::new(BrokerErrorKind::Unavailable, "away"));
            if self.down.load(Ordering::Relaxed) {
                return unavailable();
            }
            let fate = self.fates.lock().unwrap().pop_front();
            if let Some(Fate::IsRefused) = fate {
                self.refused.lock().unwrap().push(item.id);
            }
            if let Some(Fate::Comes | Fate::ComesUnconfirmed) | None = fate {
                self.log.lock().unwrap().push(item);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            match fate {
                Some(Fate::Comes) | None => Ok(Published { position: None }),
                Some(Fate::IsRefused) => {
                    Err(BrokerError::new(BrokerErrorKind::Rejected, "too large"))
                }
                Some(Fate::Outage(away)) => {
                    self.down.store(true, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(away)).await;
                    self.down.store(false, Ordering::Relaxed);
                    unavailable()
                }
                Some(Fate::ComesUnconfirmed | Fate::IsLost) => unavailable(),
            }
        })
    }

    fn is_up(&self) -> bool {
        !self.down.load(Ordering::Relaxed)
    }

    fn stamp(&self, item: &Item, stamp: Stamp) -> Item {
        Item {
            stamp: Some(stamp),
            ..*item
        }
    }

    fn void(&self, item: &Item) -> Option<Item> {
        Some(Item { id: VOID, ..*item })
    }

    fn encode(&self, item: &Item) -> Bytes {
        let stamp = item.stamp.unwrap();
        let numbers = [
            u64::from(item.id),
            stamp.origin,
            stamp.number,
            stamp.settled,
        ];
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    fn decode(&self, frame: Bytes) -> Option<Item> {
        let mut numbers = frame
            .chunks(8)
            .map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
        Some(Item {
            id: u32::try_from(numbers.next()?).ok()?,
            stamp: Some(Stamp {
                origin: numbers.next()?,
                number: numbers.next()?,
                settled: numbers.next()?,
            }),
            must_arrive: true,
        })
    }

    fn make_do(&self, item: &Item) -> Option<Result<Published, BrokerError>> {
        (!item.must_arrive).then(|| Ok(Published { position: None }))
    }

    fn weight(&self, _item: &Item) -> usize {
        100
    }
}

impl Wire {
    /// What a reader of the log takes in.
    fn taken(&self) -> Vec<u32> {
        let turns = Turns::default();
        let log = self.log.lock().unwrap();
        let taken = log
            .iter()
            .filter(|item| turns.take(item.stamp.unwrap(), false) == Turn::Take);
        let taken = taken.map(|item| item.id);
        taken.filter(|id| *id != VOID).collect()
    }
}

/// A spill that keeps what a disk would keep.
#[derive(Debug)]
struct Kept {
    lanes: Mutex<BTreeMap<(u16, u64), Bytes>>,
    most: usize,
}

impl Spill for Kept {
    fn append(&self, lane: u16, frames: Vec<Bytes>) -> BoxFuture<'_, Result<(), SpillError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let mut lanes = self.lanes.lock().unwrap();
            if lanes.len() + frames.len() > self.most {
                return Err(SpillError::Full);
            }
            let last = lanes.range(..=(lane, u64::MAX)).next_back();
            let mut place = last
                .filter(|((l, _), _)| *l == lane)
                .map_or(0, |((_, p), _)| *p);
            for frame in frames {
                place += 1;
                lanes.insert((lane, place), frame);
            }
            Ok(())
        })
    }

    fn read(
        &self,
        lane: u16,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(u64, Bytes)>, SpillError>> {
        let lanes = self.lanes.lock().unwrap();
        let kept = lanes.range((lane, 0)..=(lane, u64::MAX)).take(limit);
        let kept = kept
            .map(|((_, place), frame)| (*place, frame.clone()))
            .collect();
        Box::pin(std::future::ready(Ok(kept)))
    }

    fn remove(&self, lane: u16, up_to: u64) -> BoxFuture<'_, Result<(), SpillError>> {
        let mut lanes = self.lanes.lock().unwrap();
        lanes.retain(|(l, place), _| *l != lane || *place > up_to);
        Box::pin(std::future::ready(Ok(())))
    }

    fn len(&self) -> u64 {
        self.lanes.lock().unwrap().len() as u64
    }

    fn room(&self) -> u64 {
        self.most as u64 - self.len()
    }
}

pub(crate) fn spill(most: usize) -> Arc<dyn Spill> {
    Arc::new(Kept {
        lanes: Mutex::default(),
        most,
    })
}

fn item(id: u32) -> Item {
    Item {
        id,
        stamp: None,
        must_arrive: true,
    }
}

async fn publish(dispatch: &Dispatch<Wire>, item: Item) -> Result<Published, BrokerError> {
    let room = dispatch.room(0, &item).await;
    dispatch.send(0, item, room).await
}

#[tokio::test(start_paused = true)]
async fn without_a_disk_nothing_is_accepted_while_the_broker_is_away() {
    let wire = Arc::<Wire>::default();
    let dispatch = Dispatch::start(wire.clone(), None);
    publish(&dispatch, item(1)).await.unwrap();
    wire.down.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    assert!(publish(&dispatch, item(2)).await.is_err());
    assert!(
        begun.elapsed() < Wire::PATIENCE * 2,
        "{:?}",
        begun.elapsed()
    );
    let begun = Instant::now();
    assert!(publish(&dispatch, item(3)).await.is_err());
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "at once from then on"
    );
    let best_effort = Item {
        must_arrive: false,
        ..item(4)
    };
    publish(&dispatch, best_effort).await.unwrap();
    assert!(!dispatch.is_up());
    wire.down.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(dispatch.is_up());
    publish(&dispatch, item(5)).await.unwrap();
    // What was under way may have come, so it is sent again, although its publisher was refused.
    assert_eq!(wire.taken(), [1, 2, 5]);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_comes_first_when_the_broker_is_back() {
    let wire = Arc::<Wire>::default();
    let kept = spill(1_000);
    let dispatch = Dispatch::start(wire.clone(), Some(&kept));
    wire.down.store(true, Ordering::Relaxed);
    for id in 0..600 {
        publish(&dispatch, item(id)).await.unwrap();
    }
    assert_eq!(kept.len(), 600);
    // The process ends, and another one goes on.
    drop(dispatch);
    wire.down.store(false, Ordering::Relaxed);
    let dispatch = Dispatch::start(wire.clone(), Some(&kept));
    publish(&dispatch, item(600)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(wire.taken(), (0..=600).collect::<Vec<_>>());
    assert!(kept.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_brokers_return_is_noticed_while_events_keep_coming() {
    let wire = Arc::<Wire>::default();
    let kept = spill(100_000);
    let dispatch = Dispatch::start(wire.clone(), Some(&kept));
    wire.down.store(true, Ordering::Relaxed);
    let mut ids = 0..;
    for id in ids.by_ref().take(100) {
        publish(&dispatch, item(id)).await.unwrap();
        tokio::time::sleep(LOOK / 5).await;
    }
    wire.down.store(false, Ordering::Relaxed);
    for id in ids.take(100) {
        publish(&dispatch, item(id)).await.unwrap();
        tokio::time::sleep(LOOK / 5).await;
    }
    assert_eq!(wire.taken(), (0..200).collect::<Vec<_>>());
    assert!(kept.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_spill_that_is_full_refuses() {
    let wire = Arc::<Wire>::default();
    let kept = spill(3);
    let dispatch = Dispatch::start(wire.clone(), Some(&kept));
    publish(&dispatch, item(0)).await.unwrap();
    wire.down.store(true, Ordering::Relaxed);
    for id in 1..=3 {
        publish(&dispatch, item(id)).await.unwrap();
    }
    assert!(publish(&dispatch, item(4)).await.is_err());
    wire.down.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    publish(&dispatch, item(5)).await.unwrap();
    assert_eq!(wire.taken(), [0, 1, 2, 3, 5]);
}

#[tokio::test(start_paused = true)]
async fn publishers_do_not_wait_for_a_server_that_hangs_when_it_is_tried_again() {
    let wire = Arc::<Wire>::default();
    let kept = spill(1_000);
    let dispatch = Dispatch::start(wire.clone(), Some(&kept));
    wire.down.store(true, Ordering::Relaxed);
    publish(&dispatch, item(0)).await.unwrap();
    // It takes connections again, and answers nothing for a while.
    *wire.fates.lock().unwrap() = [Fate::Outage(8_000)].into();
    wire.down.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(wire.fates.lock().unwrap().is_empty(), "it is being tried");
    let begun = Instant::now();
    for id in 1..9 {
        publish(&dispatch, item(id)).await.unwrap();
    }
    assert!(
        begun.elapsed() < Duration::from_millis(100),
        "{:?}",
        begun.elapsed()
    );
    tokio::time::sleep(Duration::from_secs(9)).await;
    publish(&dispatch, item(9)).await.unwrap();
    assert_eq!(wire.taken(), (0..10).collect::<Vec<_>>());
    assert!(kept.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lane_learns_from_the_others_that_the_server_is_away() {
    let wire = Arc::<Wire>::default();
    let kept = spill(1_000);
    let dispatch = Dispatch::start(wire.clone(), Some(&kept));
    *wire.fates.lock().unwrap() = [Fate::Outage(5_000), Fate::Outage(5_000)].into();
    publish(&dispatch, item(0)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    for lane in 1..4 {
        let room = dispatch.room(lane, &item(1)).await;
        dispatch.send(lane, item(1), room).await.unwrap();
    }
    assert!(
        begun.elapsed() < Duration::from_millis(100),
        "{:?}",
        begun.elapsed()
    );
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        12 => Just(Fate::Comes),
        2 => Just(Fate::ComesUnconfirmed),
        2 => Just(Fate::IsLost),
        1 => Just(Fate::IsRefused),
        1 => (0u64..11_000).prop_map(Fate::Outage),
    ];
    prop::collection::vec(fate, 0..60)
}

proptest! {
    /// Whatever happens on the way: what was accepted is taken once, in the order of publishing, and
    /// what was refused for good never.
    #[test]
    fn what_is_accepted_is_taken_once_and_in_order(
        fates in fates(),
        most in prop::option::of(0usize..40),
        pauses in prop::collection::vec(0u64..3_000, 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let outcome = runtime.block_on(async {
            let wire = Arc::<Wire>::default();
            *wire.fates.lock().unwrap() = fates.into();
            let kept = most.map(spill);
            let dispatch = Arc::new(Dispatch::start(wire.clone(), kept.as_ref()));
            let mut publishers = Vec::new();
            for (id, pause) in (0..).zip(pauses) {
                let room = dispatch.room(0, &item(id)).await;
                publishers.push((id, tokio::spawn(dispatch.send(0, item(id), room))));
                tokio::time::sleep(Duration::from_millis(pause % 7)).await;
                if pause % 5 == 0 {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            }
            let mut accepted = Vec::new();
            for (id, publisher) in publishers {
                let outcome = tokio::time::timeout(Duration::from_secs(300), publisher).await;
                if outcome.expect("a publisher is told").unwrap().is_ok() {
                    accepted.push(id);
                }
            }
            // Past any outage that was still to come.
            wire.fates.lock().unwrap().clear();
            tokio::time::sleep(Duration::from_secs(60)).await;
            publish(&dispatch, item(u32::MAX)).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            accepted.push(u32::MAX);
            // What it refuses of what was kept meanwhile can be accepted by nobody.
            let refused = wire.refused.lock().unwrap().clone();
            accepted.retain(|id| !refused.contains(id));
            (accepted, wire.taken())
        });
        let (accepted, taken) = outcome;
        let mut sorted = taken.clone();
        sorted.sort_unstable();
        sorted.dedup();
        prop_assert_eq!(&sorted, &taken, "once, and in order");
        let missing = accepted.iter().filter(|id| !taken.contains(id)).collect::<Vec<_>>();
        prop_assert!(missing.is_empty(), "accepted and not taken: {:?} of {:?}", missing, taken);
    }
}
