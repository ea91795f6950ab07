//! One lane: what is under way, and what waits until the carrier is back.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{error, warn};

use super::{Carrier, PATIENCE, Waiting};
use crate::broker::{BrokerError, BrokerErrorKind, Published, Spill, SpillError};
use crate::event::Stamp;

/// Items under way at a time.
const WINDOW: usize = 1_024;
/// Items that are kept, or sent from there, at a time.
const CHUNK: usize = 256;
/// A carrier must say within this whether it has an item; it is believed to be away after it.
const ANSWER: Duration = Duration::from_secs(12);
/// Between two looks whether the carrier is back.
pub(super) const LOOK: Duration = Duration::from_millis(50);

pub(super) struct Lane<C: Carrier> {
    number: u16,
    carrier: Arc<C>,
    spill: Option<Arc<dyn Spill>>,
    queue: mpsc::UnboundedReceiver<Waiting<C::Item>>,
    /// Shared by the lanes, for those who ask whether the carrier is away.
    away: Arc<AtomicBool>,
    run: Run,
    /// What has a number and is not known to have come, oldest first.
    unsettled: VecDeque<Entry<C::Item>>,
    /// The places on disk of what the carrier refused.
    refused: HashSet<u64>,
}

/// Why nothing more can be handed over.
enum End {
    /// The carrier is away.
    Away,
    /// It refused an item for good, in whose place another is to be sent that says nothing.
    Refused,
    /// Nobody is left who could publish.
    Closed,
}

/// The numbers of the lane's items, without holes: readers wait for the next.
struct Run {
    origin: u64,
    next: u64,
    settled: u64,
}

struct Entry<I> {
    number: u64,
    item: I,
    /// Whether the carrier refused it, so that it only keeps its number's place.
    void: bool,
    /// None once the publisher has been told.
    done: Option<oneshot::Sender<Result<Published, BrokerError>>>,
    _room: OwnedSemaphorePermit,
}

impl<C: Carrier> Lane<C> {
    pub(super) fn new(
        number: u16,
        carrier: Arc<C>,
        spill: Option<Arc<dyn Spill>>,
        queue: mpsc::UnboundedReceiver<Waiting<C::Item>>,
        away: Arc<AtomicBool>,
    ) -> Self {
        Self {
            number,
            carrier,
            spill,
            queue,
            away,
            run: Run::new(),
            unsettled: VecDeque::new(),
            refused: HashSet::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            // First of all what an earlier life may have left.
            loop {
                match self.send_again().await {
                    Ok(()) => break,
                    Err(End::Refused) => {}
                    Err(_) => {
                        self.away.store(true, Ordering::Relaxed);
                        if let End::Closed = self.sit_out().await {
                            return;
                        }
                    }
                }
            }
            self.away.store(false, Ordering::Relaxed);
            if let End::Closed = self.flow().await {
                return;
            }
        }
    }

    /// Hands over what comes until something fails. What it leaves unsettled is to be sent again,
    /// whatever became of it: readers take nothing before what failed.
    async fn flow(&mut self) -> End {
        let mut under_way = FuturesOrdered::new();
        let end = loop {
            tokio::select! {
                biased;
                Some(outcome) = under_way.next() => {
                    if let Err(end) = self.settle(outcome) {
                        break end;
                    }
                }
                came = self.queue.recv(), if self.unsettled.len() < WINDOW => {
                    let Some(waiting) = came else { break End::Closed };
                    let entry = self.number(waiting);
                    under_way.push_back(self.carry(&entry.item, entry.number));
                    self.unsettled.push_back(entry);
                }
            }
        };
        while under_way.next().await.is_some() {}
        end
    }

    /// Sends what is kept on disk, then what is unsettled.
    async fn send_again(&mut self) -> Result<(), End> {
        self.send_what_was_kept().await?;
        let mut under_way = FuturesOrdered::new();
        for entry in &self.unsettled {
            under_way.push_back(self.carry(&entry.item, entry.number));
        }
        while let Some(outcome) = under_way.next().await {
            if let Err(end) = self.settle(outcome) {
                while under_way.next().await.is_some() {}
                return Err(end);
            }
        }
        Ok(())
    }

    fn carry(
        &self,
        item: &C::Item,
        number: u64,
    ) -> impl Future<Output = Result<Published, BrokerError>> + Send + use<C> {
        let item = self.carrier.stamp(item, self.run.stamp(number));
        carry(self.carrier.clone(), item)
    }

    /// Takes in what became of the oldest item that is unsettled.
    fn settle(&mut self, outcome: Result<Published, BrokerError>) -> Result<(), End> {
        match outcome {
            Ok(published) => {
                if let Some(entry) = self.unsettled.pop_front() {
                    self.run.settled = entry.number;
                    tell(entry.done, Ok(published));
                }
                Ok(())
            }
            Err(error) if error.kind() == BrokerErrorKind::Rejected => {
                match self.unsettled.front_mut() {
                    Some(entry) if !entry.void => {
                        entry.void = true;
                        entry.item = self.carrier.void(&entry.item);
                        tell(entry.done.take(), Err(error));
                        Err(End::Refused)
                    }
                    _ => Err(End::Away),
                }
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(lane = self.number, error, "the broker is away");
                Err(End::Away)
            }
        }
    }

    fn number(&mut self, waiting: Waiting<C::Item>) -> Entry<C::Item> {
        let number = self.run.next;
        self.run.next += 1;
        Entry {
            number,
            item: waiting.item,
            void: false,
            done: Some(waiting.done),
            _room: waiting.room,
        }
    }

    /// Waits until the carrier may be back, and keeps what must arrive meanwhile.
    async fn sit_out(&mut self) -> End {
        let patience = Instant::now() + PATIENCE;
        self.keep_unsettled().await;
        // A pause that began anew with each event would never end while events keep coming.
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    if Instant::now() >= patience {
                        // They stay, because they may have come, and are sent again with their
                        // numbers.
                        for entry in &mut self.unsettled {
                            tell(entry.done.take(), Err(away()));
                        }
                    }
                    if self.carrier.is_up() {
                        return End::Away;
                    }
                }
                came = self.queue.recv() => match came {
                    Some(waiting) => self.keep_new(waiting).await,
                    None => return End::Closed,
                }
            }
        }
    }

    /// Keeps on disk what is unsettled, so that its publishers need not wait.
    async fn keep_unsettled(&mut self) {
        let Some(spill) = self.spill.clone() else {
            return;
        };
        while !self.unsettled.is_empty() {
            let chunk = self.unsettled.iter().take(CHUNK);
            let frames = chunk.map(|entry| self.frame(entry)).collect::<Vec<_>>();
            let count = frames.len();
            if let Err(problem) = spill.append(self.number, frames).await {
                complain(&problem);
                return;
            }
            for entry in self.unsettled.drain(..count) {
                tell(entry.done, Ok(Published { position: None }));
            }
        }
    }

    /// Keeps on disk what comes while the carrier is away: `first`, and what waits behind it.
    async fn keep_new(&mut self, first: Waiting<C::Item>) {
        // What is still unsettled could not be kept, and stands before all that is new.
        let spill = self.spill.clone().filter(|_| self.unsettled.is_empty());
        let mut entries = Vec::new();
        let mut next = Some(first);
        while let Some(waiting) = next.take() {
            match self.carrier.make_do(&waiting.item) {
                Some(outcome) => tell(Some(waiting.done), outcome),
                None if spill.is_none() => tell(Some(waiting.done), Err(away())),
                None => entries.push(self.number(waiting)),
            }
            if entries.len() < CHUNK {
                next = self.queue.try_recv().ok();
            }
        }
        let (Some(spill), Some(first)) = (spill, entries.first()) else {
            return;
        };
        let first = first.number;
        let frames = entries.iter().map(|entry| self.frame(entry)).collect();
        match spill.append(self.number, frames).await {
            Ok(()) => {
                for entry in entries {
                    tell(entry.done, Ok(Published { position: None }));
                }
            }
            Err(problem) => {
                complain(&problem);
                self.run.next = first;
                for entry in entries {
                    tell(entry.done, Err(away()));
                }
            }
        }
    }

    fn frame(&self, entry: &Entry<C::Item>) -> Bytes {
        let stamp = self.run.stamp(entry.number);
        self.carrier.encode(&self.carrier.stamp(&entry.item, stamp))
    }

    /// Sends what is kept on disk.
    async fn send_what_was_kept(&mut self) -> Result<(), End> {
        let Some(spill) = self.spill.clone() else {
            return Ok(());
        };
        loop {
            let kept = spill
                .read(self.number, CHUNK)
                .await
                .map_err(|problem| failed(&problem))?;
            let Some(&(last, _)) = kept.last() else {
                return Ok(());
            };
            let came = self.send_frames(kept).await;
            let (up_to, end) = match came {
                Ok(()) => (Some(last), None),
                Err((up_to, end)) => (up_to, Some(end)),
            };
            if let Some(up_to) = up_to {
                spill
                    .remove(self.number, up_to)
                    .await
                    .map_err(|problem| failed(&problem))?;
                // A spill that has been emptied may give places again.
                self.refused.retain(|place| *place > up_to);
            }
            if let Some(end) = end {
                return Err(end);
            }
            // While much is left, publishers do not wait for it.
            if let Ok(waiting) = self.queue.try_recv() {
                self.keep_new(waiting).await;
            }
        }
    }

    /// Sends frames in order. Where not all came, says up to which place they need not be sent again.
    async fn send_frames(&mut self, frames: Vec<(u64, Bytes)>) -> Result<(), (Option<u64>, End)> {
        let mut under_way = FuturesOrdered::new();
        let mut places = VecDeque::new();
        for (place, frame) in frames {
            let Some(mut item) = self.carrier.decode(frame) else {
                error!(lane = self.number, place, "what was kept cannot be read");
                continue;
            };
            if self.refused.contains(&place) {
                item = self.carrier.void(&item);
            }
            under_way.push_back(carry(self.carrier.clone(), item));
            places.push_back(place);
        }
        let mut came = None;
        while let Some(outcome) = under_way.next().await {
            let place = places.pop_front();
            let end = match outcome {
                Ok(_) => {
                    came = place;
                    continue;
                }
                Err(error) if error.kind() == BrokerErrorKind::Rejected => {
                    let error = &error as &dyn std::error::Error;
                    error!(
                        error,
                        "the broker refuses what was accepted while it was away"
                    );
                    match place.map(|place| self.refused.insert(place)) {
                        Some(true) => End::Refused,
                        _ => End::Away,
                    }
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(lane = self.number, error, "the broker is away again");
                    End::Away
                }
            };
            while under_way.next().await.is_some() {}
            return Err((came, end));
        }
        Ok(())
    }
}

async fn carry<C: Carrier>(carrier: Arc<C>, item: C::Item) -> Result<Published, BrokerError> {
    timeout(ANSWER, carrier.carry(item))
        .await
        .unwrap_or_else(|_| {
            let kind = BrokerErrorKind::Unavailable;
            Err(BrokerError::new(kind, "the broker does not answer"))
        })
}

impl Run {
    fn new() -> Self {
        Self {
            origin: rand::random(),
            next: 1,
            settled: 0,
        }
    }

    fn stamp(&self, number: u64) -> Stamp {
        Stamp {
            origin: self.origin,
            number,
            settled: self.settled,
        }
    }
}

fn tell(
    publisher: Option<oneshot::Sender<Result<Published, BrokerError>>>,
    outcome: Result<Published, BrokerError>,
) {
    // Who has gone need not be told.
    let _ = publisher.map(|publisher| publisher.send(outcome));
}

fn away() -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, "the broker is away")
}

fn failed(problem: &SpillError) -> End {
    complain(problem);
    End::Away
}

fn complain(problem: &SpillError) {
    warn!(error = problem as &dyn std::error::Error, "spill");
}
