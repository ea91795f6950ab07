//! The stores of this crate pass the public kit, and stores that break a promise do not.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fanfare::history::memory::Memory;
use fanfare::history::{Appended, HistoryError, Page, Receipt, Retention};
use fanfare::testing::history::{Plan, check_all, check_durable};
use fanfare::{BoxFuture, Channel, Epoch, Event, HistoryStore, Position, Publication};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_passes() {
    check_all(async || Memory::default(), &Plan::default()).await;
}

#[tokio::test]
async fn memory_passes_on_one_thread() {
    check_all(async || Memory::default(), &Plan::default()).await;
}

#[cfg(feature = "disk")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_passes() {
    use fanfare::history::disk::Disk;
    let folder = tempfile::tempdir().unwrap();
    let open = async |place: u32| Disk::open(folder.path().join(place.to_string())).unwrap();
    check_durable(open, &Plan::default()).await;
}

/// What a store does that it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    SkipsAnOffset,
    TopIsBehind,
    LosesOneInReading,
    ReadsTheNewest,
    IgnoresUpTo,
    MisnamesTheOldest,
    LosesTheConflationKey,
    AltersTheName,
    KeepsOneTooMany,
    IgnoresBytes,
    IgnoresRecent,
    IgnoresAge,
    BringsTheEpochBack,
    TicketsFall,
    CommitsWhatIsNotSafe,
    NeverCommits,
    FailsToRead,
    ReceiptsGoBack,
    ClosesWithoutSaving,
}

/// The store of this crate, except for one fault. Shared, so that it can be opened again.
#[derive(Debug)]
struct Faulty {
    memory: Arc<Memory>,
    fault: Fault,
    tickets: AtomicU64,
    receipts: Mutex<HashMap<Channel, Receipt>>,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self::around(Arc::default(), fault)
    }

    fn around(memory: Arc<Memory>, fault: Fault) -> Self {
        Self {
            memory,
            fault,
            tickets: AtomicU64::new(0),
            receipts: Mutex::default(),
        }
    }

    fn position(&self, mut position: Position) -> Position {
        match self.fault {
            Fault::BringsTheEpochBack => position.epoch = Epoch::new(7),
            Fault::SkipsAnOffset if position.offset >= 20 => position.offset += 1,
            _ => {}
        }
        position
    }

    fn altered(&self, publication: &Arc<Publication>) -> Arc<Publication> {
        let event = publication.event();
        let plain = |name: &str| {
            Event::new(event.channel().clone(), name, event.payload().clone())
                .unwrap()
                .with_priority(event.priority())
                .with_guarantee(event.guarantee())
        };
        let event = match self.fault {
            Fault::LosesTheConflationKey => match event.publisher() {
                Some(publisher) => plain(event.name()).published_by(publisher.clone()),
                None => plain(event.name()),
            },
            Fault::AltersTheName => plain(&event.name().to_lowercase().replace('.', "_")),
            _ => event.clone(),
        };
        let position = self.position(publication.position().unwrap());
        Arc::new(Publication::new(event, Some(position)))
    }
}

impl HistoryStore for Faulty {
    fn append(&self, event: Event, retention: &Retention) -> Appended {
        let mut retention = retention.clone();
        match self.fault {
            Fault::KeepsOneTooMany => retention.events += 1,
            Fault::IgnoresBytes => retention.bytes = 1 << 40,
            Fault::IgnoresRecent => retention.recent = Duration::ZERO,
            Fault::IgnoresAge => retention.age = Duration::from_secs(3600),
            _ => {}
        }
        let mut appended = self.memory.append(event, &retention);
        let position = appended.publication.position().unwrap();
        let event = appended.publication.event().clone();
        appended.publication = Arc::new(Publication::new(event, Some(self.position(position))));
        let count = self.tickets.fetch_add(1, Ordering::Relaxed) + 1;
        appended.ticket = match self.fault {
            Fault::TicketsFall => 1_000_000 - count,
            Fault::CommitsWhatIsNotSafe | Fault::NeverCommits | Fault::ClosesWithoutSaving => count,
            _ => 0,
        };
        appended
    }

    fn top(&self, channel: &Channel) -> Position {
        let mut top = self.position(self.memory.top(channel));
        if self.fault == Fault::TopIsBehind {
            top.offset = top.offset.saturating_sub(1);
        }
        top
    }

    fn read(
        &self,
        channel: &Channel,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, HistoryError>> {
        if self.fault == Fault::FailsToRead {
            return Box::pin(std::future::ready(Err(HistoryError::new("no disk"))));
        }
        let channel = channel.clone();
        Box::pin(async move {
            let all = match self.fault {
                Fault::ReadsTheNewest => (after, up_to, usize::MAX),
                Fault::IgnoresUpTo => (after, u64::MAX, limit),
                _ => (after, up_to, limit),
            };
            let mut page = self.memory.read(&channel, all.0, all.1, all.2).await?;
            match self.fault {
                Fault::LosesOneInReading if page.publications.len() > 9 => {
                    page.publications.remove(5);
                }
                Fault::ReadsTheNewest => {
                    let over = page.publications.len().saturating_sub(limit);
                    page.publications.drain(..over);
                }
                Fault::MisnamesTheOldest => page.oldest = 1,
                _ => {}
            }
            page.top = self.position(page.top);
            page.publications = page.publications.iter().map(|p| self.altered(p)).collect();
            Ok(page)
        })
    }

    fn safe(&self) -> u64 {
        match self.fault {
            Fault::CommitsWhatIsNotSafe | Fault::NeverCommits | Fault::ClosesWithoutSaving => 0,
            _ => u64::MAX,
        }
    }

    fn committed(&self, _ticket: u64) -> BoxFuture<'_, Result<(), HistoryError>> {
        match self.fault {
            Fault::NeverCommits => Box::pin(std::future::pending()),
            _ => Box::pin(std::future::ready(Ok(()))),
        }
    }

    fn is_up(&self) -> bool {
        true
    }

    fn note_receipt(&self, channel: &Channel, receipt: Receipt) {
        self.receipts
            .lock()
            .unwrap()
            .insert(channel.clone(), receipt);
        self.memory.note_receipt(channel, receipt);
    }

    fn receipt(&self, channel: &Channel) -> Option<Receipt> {
        match self.fault {
            Fault::ReceiptsGoBack => self.receipts.lock().unwrap().get(channel).copied(),
            _ => self.memory.receipt(channel),
        }
    }

    fn expire(&self) {
        self.memory.expire();
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.memory.close()
    }
}

/// Runs a check on a runtime of its own, and gives the words of its failure.
fn failure(check: impl Future<Output = ()>) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(check)));
    outcome
        .err()
        .map(|panic| *panic.downcast::<String>().expect("a formatted sentence"))
}

fn brief() -> Plan {
    Plan {
        age: Duration::from_millis(100),
        patience: Duration::from_millis(500),
        ..Plan::default()
    }
}

#[test]
fn a_store_that_breaks_a_promise_is_told_which() {
    let cases = [
        (Fault::SkipsAnOffset, "without holes"),
        (Fault::TopIsBehind, "`top` is the position of the newest"),
        (Fault::LosesOneInReading, "a page holds the oldest"),
        (Fault::ReadsTheNewest, "a page holds the oldest"),
        (Fault::IgnoresUpTo, "a page holds the oldest"),
        (Fault::MisnamesTheOldest, "oldest"),
        (Fault::LosesTheConflationKey, "as it went in"),
        (Fault::AltersTheName, "as it went in"),
        (Fault::KeepsOneTooMany, "oldest offset is that is kept"),
        (Fault::IgnoresBytes, "within `Retention::bytes`"),
        (Fault::IgnoresRecent, "younger than `Retention::recent`"),
        (Fault::IgnoresAge, "outlived `Retention::age`"),
        (Fault::BringsTheEpochBack, "chooses a new epoch"),
        (Fault::TicketsFall, "tickets never fall"),
        (Fault::CommitsWhatIsNotSafe, "`committed` resolved for"),
        (Fault::NeverCommits, "becomes safe in the end"),
        (Fault::FailsToRead, "can be read"),
        (Fault::ReceiptsGoBack, "never goes back"),
    ];
    std::thread::scope(|scope| {
        for (fault, promise) in cases {
            scope.spawn(move || {
                let failure = failure(check_all(async || Faulty::new(fault), &brief()));
                let words = failure.unwrap_or_else(|| panic!("{fault:?} passed"));
                assert!(words.starts_with("broken promise: "), "{fault:?}: {words}");
                assert!(words.contains(promise), "{fault:?}: {words}");
            });
        }
    });
    assert_eq!(
        failure(check_all(async || Faulty::new(Fault::None), &brief())),
        None
    );
}

#[test]
fn a_store_that_closes_without_saving_is_told_so() {
    use fanfare::testing::history::check_closing;
    let fresh = async || Faulty::new(Fault::ClosesWithoutSaving);
    let plan = brief();
    let words = failure(check_closing(&fresh, &plan)).unwrap();
    assert!(words.contains("`close` makes everything safe"), "{words}");
}

/// How a store comes back that must be as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reopening {
    AsItWas,
    Empty,
    WithoutTheLast,
    WithoutReceipts,
}

/// Opens stores that survive in this process. A copy is made of what is read from the old one.
async fn reopen(
    places: &Mutex<HashMap<u32, Arc<Memory>>>,
    place: u32,
    reopening: Reopening,
) -> Faulty {
    let known = places.lock().unwrap().get(&place).cloned();
    let memory = match (known, reopening) {
        (Some(known), Reopening::AsItWas) => known,
        (Some(known), Reopening::WithoutTheLast) => {
            let copy = Memory::default();
            for number in 0..8 {
                let channel = Channel::new(&format!("conformance.{number}")).unwrap();
                let page = known.read(&channel, 0, u64::MAX, usize::MAX).await.unwrap();
                let all_but_last = page
                    .publications
                    .split_last()
                    .map_or(&[][..], |(_, all)| all);
                for publication in all_but_last {
                    copy.append(publication.event().clone(), &Retention::default());
                }
            }
            Arc::new(copy)
        }
        (Some(known), Reopening::WithoutReceipts) => {
            for number in 0..8 {
                let channel = Channel::new(&format!("conformance.{number}")).unwrap();
                if let Some(receipt) = known.receipt(&channel) {
                    let mut other = receipt;
                    other.position.epoch = Epoch::new(99);
                    known.note_receipt(&channel, other);
                }
            }
            known
        }
        (None, _) | (_, Reopening::Empty) => Arc::default(),
    };
    places.lock().unwrap().insert(place, memory.clone());
    Faulty::around(memory, Fault::None)
}

#[test]
fn a_durable_store_is_opened_again_and_compared() {
    let cases = [
        (Reopening::Empty, "again"),
        (Reopening::WithoutTheLast, "again"),
        (Reopening::WithoutReceipts, "receipts are there"),
    ];
    for (reopening, promise) in cases {
        let places = Mutex::default();
        let open = async |place: u32| reopen(&places, place, reopening).await;
        let words = failure(check_durable(open, &brief()));
        let words = words.unwrap_or_else(|| panic!("{reopening:?} passed"));
        assert!(words.contains(promise), "{reopening:?}: {words}");
    }
    let places = Mutex::default();
    let open = async |place: u32| reopen(&places, place, Reopening::AsItWas).await;
    assert_eq!(failure(check_durable(open, &brief())), None);
}
