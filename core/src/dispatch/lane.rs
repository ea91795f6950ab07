//! One lane: what is under way, and what waits until the carrier is back.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tracing::{error, warn};

use super::{Carrier, Waiting};
use crate::BoxFuture;
use crate::broker::{BrokerError, BrokerErrorKind, Published, Spill, SpillError};
use crate::event::Stamp;

/// Items under way at a time.
const WINDOW: usize = 1_024;
/// Items that are kept, or sent from there, at a time.
const CHUNK: usize = 256;
/// How long publishers wait for what was kept before them to be sent, before theirs is kept as well.
const HASTE: Duration = Duration::from_millis(250);
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
    /// Whether the carrier has taken something since it failed last. If not, it is tried with one item.
    proven: bool,
    /// Until when publishers wait for a carrier that has failed, and has not taken anything since.
    patience: Option<Instant>,
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
            proven: false,
            patience: None,
        }
    }

    pub(super) async fn run(mut self) {
        // First of all what an earlier life may have left.
        loop {
            let end = match self.send_again().await {
                Ok(()) => {
                    self.away.store(false, Ordering::Relaxed);
                    self.flow().await
                }
                Err(End::Away) => {
                    self.has_failed();
                    self.sit_out().await
                }
                Err(end) => end,
            };
            if let End::Closed = end {
                return;
            }
        }
    }

    /// Hands over what comes until something fails. What it leaves unsettled is to be sent again,
    /// whatever became of it: readers take nothing before what failed.
    async fn flow(&mut self) -> End {
        let end = self.hand_over().await;
        if let End::Away = end {
            self.has_failed();
            self.keep_unsettled().await;
        }
        end
    }

    fn has_failed(&mut self) {
        self.away.store(true, Ordering::Relaxed);
        self.proven = false;
        self.patience.get_or_insert(Instant::now() + C::PATIENCE);
    }

    fn has_come(&mut self) {
        self.proven = true;
        self.patience = None;
    }

    async fn hand_over(&mut self) -> End {
        let mut pass = C::Pass::default();
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
                    // Where another lane has just found it away, publishers need not wait to find out.
                    let is_away = self.spill.is_some() && self.away.load(Ordering::Relaxed);
                    if !is_away {
                        under_way.push_back(self.carry(&mut pass, &entry));
                    }
                    self.unsettled.push_back(entry);
                    if is_away {
                        break End::Away;
                    }
                }
            }
        };
        while under_way.next().await.is_some() {}
        end
    }

    /// Sends what is kept on disk, then what is unsettled.
    async fn send_again(&mut self) -> Result<(), End> {
        self.send_what_was_kept().await?;
        let mut pass = C::Pass::default();
        let mut under_way = FuturesOrdered::new();
        for entry in &self.unsettled {
            under_way.push_back(self.carry(&mut pass, entry));
        }
        loop {
            let outcome = tokio::select! {
                biased;
                outcome = under_way.next() => outcome,
                () = self.out_of_patience() => {
                    self.lose_patience();
                    continue;
                }
            };
            let Some(outcome) = outcome else {
                return Ok(());
            };
            if let Err(end) = self.settle(outcome) {
                while under_way.next().await.is_some() {}
                return Err(end);
            }
        }
    }

    /// Resolves when publishers have waited long enough.
    async fn out_of_patience(&self) {
        let waited_for = self.unsettled.iter().any(|entry| entry.done.is_some());
        match self.patience {
            Some(patience) if waited_for => sleep_until(patience).await,
            _ => std::future::pending().await,
        }
    }

    /// Tells publishers that what they wait for cannot be accepted. It stays, because it may have
    /// come, and is sent again with its number.
    fn lose_patience(&mut self) {
        for entry in &mut self.unsettled {
            tell(entry.done.take(), Err(away::<C>()));
        }
    }

    fn carry(
        &self,
        pass: &mut C::Pass,
        entry: &Entry<C::Item>,
    ) -> BoxFuture<'static, Result<Published, BrokerError>> {
        let stamp = self.run.stamp(entry.number);
        let item = self.carrier.stamp(&entry.item, stamp);
        self.carrier.clone().carry(pass, item)
    }

    /// Takes in what became of the oldest item that is unsettled.
    fn settle(&mut self, outcome: Result<Published, BrokerError>) -> Result<(), End> {
        match outcome {
            Ok(published) => {
                self.has_come();
                self.come(Ok(published));
                Ok(())
            }
            Err(error) if error.kind() == BrokerErrorKind::Rejected => {
                match self.unsettled.front_mut() {
                    Some(entry) if !entry.void => match self.carrier.void(&entry.item) {
                        Some(void) => {
                            entry.void = true;
                            entry.item = void;
                            tell(entry.done.take(), Err(error));
                            Err(End::Refused)
                        }
                        None => {
                            self.come(Err(error));
                            Ok(())
                        }
                    },
                    _ => Err(End::Away),
                }
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                warn!(lane = self.number, error, "{} is away", C::NAME);
                Err(End::Away)
            }
        }
    }

    /// Is done with the oldest item that is unsettled.
    fn come(&mut self, outcome: Result<Published, BrokerError>) {
        if let Some(entry) = self.unsettled.pop_front() {
            self.run.settled = entry.number;
            tell(entry.done, outcome);
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
        self.keep_unsettled().await;
        // A pause that began anew with each event would never end while events keep coming.
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = looks.tick() => {
                    if self.patience.is_none_or(|patience| Instant::now() >= patience) {
                        self.lose_patience();
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
                complain::<C>(&problem);
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
                None if spill.is_none() => tell(Some(waiting.done), Err(away::<C>())),
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
                complain::<C>(&problem);
                self.run.next = first;
                for entry in entries {
                    tell(entry.done, Err(away::<C>()));
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
            let chunk = if self.proven { CHUNK } else { 1 };
            let kept = spill
                .read(self.number, chunk)
                .await
                .map_err(|problem| failed::<C>(&problem))?;
            let Some(&(last, _)) = kept.last() else {
                return Ok(());
            };
            let is_much = kept.len() == chunk;
            let came = self.send_frames(kept).await;
            let (up_to, end) = match came {
                Ok(()) => (Some(last), None),
                Err((up_to, end)) => (up_to, Some(end)),
            };
            if let Some(up_to) = up_to {
                spill
                    .remove(self.number, up_to)
                    .await
                    .map_err(|problem| failed::<C>(&problem))?;
                // A spill that has been emptied may give places again.
                self.refused.retain(|place| *place > up_to);
            }
            if let Some(end) = end {
                return Err(end);
            }
            // While much is left, publishers do not wait for it. Of the rest they do: what was kept in
            // its place would be the rest of the next round, and so on.
            if is_much && let Ok(waiting) = self.queue.try_recv() {
                self.keep_new(waiting).await;
            }
        }
    }

    /// Sends frames in order. Where not all came, says up to which place they need not be sent again.
    async fn send_frames(&mut self, frames: Vec<(u64, Bytes)>) -> Result<(), (Option<u64>, End)> {
        let mut pass = C::Pass::default();
        let mut under_way = FuturesOrdered::new();
        let mut places = VecDeque::new();
        for (place, frame) in frames {
            let Some(mut item) = self.carrier.decode(frame) else {
                error!(lane = self.number, place, "what was kept cannot be read");
                continue;
            };
            if self.refused.contains(&place)
                && let Some(void) = self.carrier.void(&item)
            {
                item = void;
            }
            under_way.push_back(self.carrier.clone().carry(&mut pass, item.clone()));
            places.push_back((place, item));
        }
        let mut came = None;
        let haste = Instant::now() + HASTE;
        loop {
            let outcome = tokio::select! {
                biased;
                outcome = under_way.next() => outcome,
                waiting = Self::late(&mut self.queue, haste) => {
                    self.keep_new(waiting).await;
                    continue;
                }
            };
            let Some(outcome) = outcome else {
                return Ok(());
            };
            let (place, item) = places
                .pop_front()
                .expect("a place for each that is under way");
            let end = match outcome {
                Ok(_) => {
                    self.has_come();
                    came = Some(place);
                    continue;
                }
                Err(error) if error.kind() == BrokerErrorKind::Rejected => {
                    let error = &error as &dyn std::error::Error;
                    error!(
                        error,
                        "{} refuses what was accepted while it was away",
                        C::NAME
                    );
                    if self.carrier.void(&item).is_none() {
                        came = Some(place);
                        continue;
                    }
                    if self.refused.insert(place) {
                        End::Refused
                    } else {
                        End::Away
                    }
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(lane = self.number, error, "{} is away again", C::NAME);
                    End::Away
                }
            };
            while under_way.next().await.is_some() {}
            return Err((came, end));
        }
    }

    /// The next that waits, once it has waited for too long.
    async fn late(
        queue: &mut mpsc::UnboundedReceiver<Waiting<C::Item>>,
        haste: Instant,
    ) -> Waiting<C::Item> {
        sleep_until(haste).await;
        match queue.recv().await {
            Some(waiting) => waiting,
            None => std::future::pending().await,
        }
    }
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

fn away<C: Carrier>() -> BrokerError {
    let sentence = format!("{} is away", C::NAME);
    BrokerError::new(BrokerErrorKind::Unavailable, sentence)
}

fn failed<C: Carrier>(problem: &SpillError) -> End {
    complain::<C>(problem);
    End::Away
}

fn complain<C: Carrier>(problem: &SpillError) {
    let error = problem as &dyn std::error::Error;
    warn!(error, "what waits for {}", C::NAME);
}
