//! The history of a node that survives its end, `kill -9` included.
//!
//! [`Disk`] numbers and keeps events in memory at once and hands them to a thread that writes: all
//! that has gathered becomes one batch with one sync (group commit), and is safe after that. A batch
//! holds events, removals, and the heads of their channels (epoch, newest and oldest offset, weight
//! and age of what is kept), so that either all of it is there after a crash or nothing. Opening
//! reads the heads and no events.
//!
//! The newest events of all channels stay in memory as well, up to [`TAIL_BYTES`], and are read from
//! there. Older ones are read from disk, on threads that may block.
//!
//! # Engine
//! fjall, a log-structured engine. It was compared with redb, a B-tree, by
//! `benches/benches/history_disk.rs`, and commits between as many events a second and twenty times as
//! many, mostly two to three times: a batch is appended to one journal, where a tree writes a page for
//! every channel. It takes two thirds of the space. redb opens a million events in some 10 ms after a
//! crash, where fjall reads its journal again for up to a second or two, but only in a mode that syncs
//! twice for each commit; without it, it reads the whole file. Figures stand in `benches/README.md`.

mod channels;
mod clock;
mod error;
mod files;
#[cfg(test)]
mod model;
mod queue;
mod record;
mod spill;
mod stored;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::channels::{Channels, Found};
use self::clock::{Clock, whole};
pub use self::error::{OpenError, OpenErrorKind};
use self::files::{Files, FilesError};
use self::queue::{Append, CLOSED, Queue};
use self::record::decode_event;
use self::spill::{Part, Spilled};
use self::writer::Writer;
use super::{Appended, HistoryError, HistoryStore, Page, Receipt, Retention};
use crate::BoxFuture;
use crate::broker::{Spill, SpillPart};
use crate::channel::Channel;
use crate::event::Event;
use crate::position::Position;
use crate::sync::Mutex;

/// How much of the newest events of all channels stays in memory beside the disk, counted as
/// [`Publication::weight`](crate::Publication::weight) does. Those that are not safe yet come on top.
pub const TAIL_BYTES: usize = 32 << 20;

/// Twice as long as anybody is served from one.
const RECEIPTS_STAY: Duration = Duration::from_secs(48 * 60 * 60);
/// Reads of the disk at a time. A thousand clients that come back wait here, not in a thousand
/// threads.
const READS: usize = 8;

/// Keeps publications in a folder, for one process at a time.
///
/// Retention is that of the [`Memory`](super::memory::Memory) store, applied by the time of day and
/// by the writer: what an append displaces is gone when the append is safe, except that one append
/// displaces at most about a thousand. Positions last until a channel has been empty for twice its
/// age, across restarts.
///
/// Costs memory for each channel (a few hundred bytes), for [`TAIL_BYTES`], for what the engine holds
/// (up to about 100 MB under load), and for what was appended and is not safe yet. Publishers that
/// wait until they are committed bound the last, and so does
/// [`Buffers::pending`](crate::config::Buffers), to which such events count. How many events lie on
/// disk makes no difference.
///
/// A disk that fails takes the store down: nothing more is safe, and [`is_up`](HistoryStore::is_up)
/// is false until the process is started anew.
///
/// Dropping it waits until what was appended is written; [`close`](HistoryStore::close) does so
/// without blocking a thread.
pub struct Disk {
    shared: Arc<Shared>,
    /// For reading; none after `close`.
    files: Mutex<Option<Files>>,
    reads: Semaphore,
    writer: Mutex<Option<JoinHandle<()>>>,
    spilled: Arc<Spilled>,
}

/// What appending, reading and writing have in common.
struct Shared {
    clock: Clock,
    channels: Channels,
    queue: Queue,
    receipts: DashMap<Channel, Receipt>,
    tail_bytes: usize,
    /// How often all channels were looked through for what has expired.
    #[cfg(test)]
    rounds: tokio::sync::watch::Sender<u64>,
}

impl Disk {
    /// Opens the history in a folder, or begins one there. Reads what an end without close left in
    /// the journal, which takes up to about a second, or two where the machine is busy.
    ///
    /// Blocks; starts a thread.
    ///
    /// # Errors
    /// [`OpenError`] where the folder is in use, cannot be written, has another format, or is
    /// damaged.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_at(folder.as_ref(), SystemTime::now(), TAIL_BYTES)
    }

    /// Opens a folder at a time of day, with a bound of its own.
    fn open_at(folder: &Path, time: SystemTime, tail_bytes: usize) -> Result<Self, OpenError> {
        let (files, contents) = Files::open(folder)?;
        let channels = Channels::new(contents.seed, &contents.forgotten);
        for (channel, head) in &contents.heads {
            channels.restore(channel.clone(), head);
        }
        let shared = Arc::new(Shared {
            clock: Clock::starting_at(time),
            channels,
            queue: Queue::new(),
            receipts: contents.receipts.into_iter().collect(),
            tail_bytes,
            #[cfg(test)]
            rounds: tokio::sync::watch::Sender::default(),
        });
        let spilled = Spilled::open(files.clone()).map_err(|error| error.at_open(folder))?;
        let writer = Writer::new(shared.clone(), files.clone(), contents.heads);
        let thread = std::thread::Builder::new().name("fanfare-history".to_owned());
        let thread = thread
            .spawn(move || writer.run())
            .map_err(|error| OpenError::new(folder, OpenErrorKind::Access).because(error))?;
        Ok(Self {
            shared,
            files: Mutex::new(Some(files)),
            reads: Semaphore::new(READS),
            writer: Mutex::new(Some(thread)),
            spilled: Arc::new(spilled),
        })
    }

    /// Looks once more, behind what has expired: it must not take the place of what has not.
    fn find_behind(
        &self,
        channel: &Channel,
        page: &Page,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> Found {
        let mut found = self.shared.channels.find(channel, after, up_to, limit);
        found.page.oldest = found.page.oldest.max(page.oldest);
        found
    }

    async fn complete(
        &self,
        channel: Channel,
        found: Found,
    ) -> Result<(Page, Option<u64>), HistoryError> {
        let Some((from, to)) = found.on_disk else {
            return Ok(found.without_expired(Instant::now()));
        };
        let files = self.files.lock().clone();
        let files = files.ok_or_else(|| HistoryError::new(CLOSED))?;
        let _permit = self.reads.acquire().await.map_err(HistoryError::new)?;
        let shared = self.shared.clone();
        let now = Instant::now();
        let read = tokio::task::spawn_blocking(move || {
            let found = shared.read(&files, &channel, found, from, to)?;
            Ok::<_, FilesError>(found.without_expired(now))
        });
        let read = read.await.map_err(HistoryError::new)?;
        read.map_err(HistoryError::new)
    }
}

impl HistoryStore for Disk {
    fn append(&self, event: Event, retention: &Retention) -> Appended {
        let queue = &self.shared.queue;
        let at = self.shared.clock.now();
        let (publication, ticket) =
            self.shared
                .channels
                .append(event, whole(retention.age), |publication| {
                    queue.append(Append {
                        publication: publication.clone(),
                        retention: retention.clone(),
                        at,
                    })
                });
        Appended {
            publication,
            // What was not taken in is never safe.
            ticket: ticket.unwrap_or(u64::MAX),
        }
    }

    fn top(&self, channel: &Channel) -> Position {
        self.shared.channels.top(channel)
    }

    fn read(
        &self,
        channel: &Channel,
        after: u64,
        up_to: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, HistoryError>> {
        let found = self.shared.channels.find(channel, after, up_to, limit);
        let found = match found.on_disk {
            Some(_) => found,
            None => match found.without_expired(Instant::now()) {
                (page, None) => return Box::pin(std::future::ready(Ok(page))),
                (page, Some(after)) => self.find_behind(channel, &page, after, up_to, limit),
            },
        };
        let channel = channel.clone();
        Box::pin(async move {
            let mut found = found;
            loop {
                match self.complete(channel.clone(), found).await? {
                    (page, None) => return Ok(page),
                    (page, Some(after)) => {
                        found = self.find_behind(&channel, &page, after, up_to, limit);
                    }
                }
            }
        })
    }

    fn safe(&self) -> u64 {
        self.shared.queue.safe()
    }

    fn committed(&self, ticket: u64) -> BoxFuture<'_, Result<(), HistoryError>> {
        Box::pin(self.shared.queue.committed(ticket))
    }

    fn is_up(&self) -> bool {
        self.shared.queue.is_open()
    }

    fn note_receipt(&self, channel: &Channel, receipt: Receipt) {
        let mut known = self
            .shared
            .receipts
            .entry(channel.clone())
            .or_insert(receipt);
        let newer = receipt.position.offset >= known.position.offset;
        if newer || receipt.position.epoch != known.position.epoch {
            *known = receipt;
        }
        drop(known);
        self.shared.queue.receipt(channel);
    }

    fn receipt(&self, channel: &Channel) -> Option<Receipt> {
        self.shared.receipts.get(channel).map(|receipt| *receipt)
    }

    fn spill(&self, part: SpillPart, bytes: u64) -> Option<Arc<dyn Spill>> {
        Some(Arc::new(Part::new(self.spilled.clone(), part, bytes)))
    }

    fn expire(&self) {
        let now = self.shared.clock.now();
        let stay = whole(RECEIPTS_STAY);
        let mut dropped = Vec::new();
        self.shared.receipts.retain(|channel, receipt| {
            let stays = now.saturating_sub(clock::millis(receipt.at)) < stay;
            if !stays {
                dropped.push(channel.clone());
            }
            stays
        });
        for channel in &dropped {
            self.shared.queue.receipt(channel);
        }
        self.shared.queue.expire(now);
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            *self.files.lock() = None;
            self.shared.queue.close();
            self.shared.queue.ended().await;
            let spilled = self.spilled.clone();
            // It has failed already where the thread has.
            let _ = tokio::task::spawn_blocking(move || spilled.close()).await;
        })
    }
}

impl Shared {
    /// Adds what lies on disk to what was found in memory. Blocks.
    fn read(
        &self,
        files: &Files,
        channel: &Channel,
        mut found: Found,
        from: u64,
        to: u64,
    ) -> Result<Found, FilesError> {
        let epoch = found.page.top.epoch;
        let mut publications = Vec::new();
        files.events(epoch, from, to, |offset, record| {
            let position = Position { epoch, offset };
            let publication = decode_event(channel, position, record, &self.clock)?;
            publications.push((offset, Arc::new(publication)));
            Ok(())
        })?;
        // Removing goes on meanwhile, from the oldest, and may have left holes behind.
        let whole = publications
            .iter()
            .rev()
            .zip((from..=to).rev())
            .take_while(|((offset, _), expected)| offset == expected)
            .count();
        let first = to + 1 - whole as u64;
        if first > from {
            let oldest = self.channels.oldest(channel, epoch);
            if oldest.is_some_and(|oldest| oldest < first) {
                return Err(FilesError::Missing);
            }
            found.page.oldest = found.page.oldest.max(first);
        }
        publications.drain(..publications.len() - whole);
        let newer = std::mem::take(&mut found.page.publications);
        let older = publications.into_iter().map(|(_, publication)| publication);
        found.page.publications = older.chain(newer).collect();
        Ok(found)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        *self.files.lock() = None;
        self.spilled.close();
        self.shared.queue.close();
        if let Some(writer) = self.writer.lock().take() {
            // It has told what it had to tell, even of a panic.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("files", &*self.files.lock())
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}
