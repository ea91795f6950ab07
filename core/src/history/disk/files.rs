//! The folder: what lies in it, and how it is opened.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use fjall::{AbstractTree, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::error::{OpenError, OpenErrorKind};
use super::record::{
    Head, Malformed, Stamp, decode_channel, decode_head, decode_receipt, decode_stamp, decode_u64,
    encode_event, encode_head, encode_receipt, event_key, offset_of,
};
use crate::channel::Channel;
use crate::event::Event;
use crate::history::Receipt;
use crate::position::Epoch;

/// The format that is written, and the only one that is read.
pub(super) const FORMAT: u32 = 1;

/// Blocks of the disk that the engine keeps in memory.
const CACHE: u64 = 16 << 20;
/// Records that the engine keeps in memory before it sorts them into files. What was written since
/// is read again at open, so this bounds how long that takes, too.
const MEMTABLE: u64 = 16 << 20;
/// Memtables that may wait for it; the engine stops at 4.
const UNSORTED: usize = 2;
/// Sorted runs that may wait to be merged; the engine stops at 30.
const UNMERGED: usize = 24;
/// The least that the engine allows.
const JOURNAL: u64 = 64 << 20;

const FORMAT_KEY: &str = "format";
const SEED_KEY: &str = "seed";
const FORGOTTEN_KEY: &[u8] = b"forgotten/";

/// An open folder. Clones are handles to the same; the last one closes it.
#[derive(Clone)]
pub(super) struct Files {
    database: Database,
    /// Format, seed, and how often channels were forgotten.
    about: Keyspace,
    heads: Keyspace,
    events: Keyspace,
    receipts: Keyspace,
    /// What was accepted while the broker was away, by lane and place.
    spill: Keyspace,
}

/// What an open folder says of its channels.
pub(super) struct Contents {
    pub(super) seed: u64,
    /// Slots and how often channels of each were forgotten, where that is not 0.
    pub(super) forgotten: Vec<(usize, u64)>,
    pub(super) heads: Vec<(Channel, Head)>,
    pub(super) receipts: Vec<(Channel, Receipt)>,
}

/// The engine failed, or gave what was never written.
#[derive(Debug)]
pub(super) enum FilesError {
    Engine(fjall::Error),
    Malformed,
    /// Events within a channel's range are not there.
    Missing,
}

impl Files {
    /// Opens a folder, creates it where there is none, and repairs what an end without close left.
    pub(super) fn open(folder: &Path) -> Result<(Self, Contents), OpenError> {
        let access =
            |error: io::Error| OpenError::new(folder, OpenErrorKind::Access).because(error);
        std::fs::create_dir_all(folder).map_err(access)?;
        // The engine asserts some of what it reads.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::open_engine(folder)))
            .unwrap_or_else(|_| Err(FilesError::Malformed));
        let files = opened.map_err(|error| error.at_open(folder))?;
        let contents = catch_unwind(AssertUnwindSafe(|| files.contents(folder)))
            .unwrap_or_else(|_| Err(OpenError::new(folder, OpenErrorKind::Damaged)))?;
        Ok((files, contents))
    }

    fn open_engine(folder: &Path) -> Result<Self, FilesError> {
        let database = Database::builder(folder)
            .cache_size(CACHE)
            .max_journaling_size(JOURNAL)
            // One sorts while the other merges.
            .worker_threads(2)
            .open()?;
        let keyspace = |name| {
            database.keyspace(name, || {
                KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE)
            })
        };
        Ok(Self {
            about: keyspace("about")?,
            heads: keyspace("heads")?,
            events: keyspace("events")?,
            receipts: keyspace("receipts")?,
            spill: keyspace("spill")?,
            database,
        })
    }

    fn contents(&self, folder: &Path) -> Result<Contents, OpenError> {
        self.check_format(folder)?;
        self.read_contents().map_err(|error| error.at_open(folder))
    }

    fn check_format(&self, folder: &Path) -> Result<(), OpenError> {
        let damaged = || OpenError::new(folder, OpenErrorKind::Damaged);
        let format = self.about.get(FORMAT_KEY);
        match format.map_err(|error| FilesError::from(error).at_open(folder))? {
            None => Ok(()),
            Some(format) => match <[u8; 4]>::try_from(&format[..]).map(u32::from_be_bytes) {
                Ok(FORMAT) => Ok(()),
                Ok(found) => Err(OpenError::new(folder, OpenErrorKind::Format { found })),
                Err(_) => Err(damaged().because(Malformed)),
            },
        }
    }

    fn read_contents(&self) -> Result<Contents, FilesError> {
        let seed = match self.about.get(SEED_KEY)? {
            Some(seed) => decode_u64(&seed)?,
            None => self.begin()?,
        };
        let mut forgotten = Vec::new();
        for entry in self.about.prefix(FORGOTTEN_KEY) {
            let (key, count) = entry.into_inner()?;
            let slot = decode_u64(&key[FORGOTTEN_KEY.len()..])?;
            forgotten.push((
                usize::try_from(slot).map_err(|_| Malformed)?,
                decode_u64(&count)?,
            ));
        }
        let mut heads = Vec::new();
        for entry in self.heads.iter() {
            let (key, head) = entry.into_inner()?;
            heads.push((decode_channel(&key)?, decode_head(&head)?));
        }
        let mut receipts = Vec::new();
        for entry in self.receipts.iter() {
            let (key, receipt) = entry.into_inner()?;
            receipts.push((decode_channel(&key)?, decode_receipt(&receipt)?));
        }
        Ok(Contents {
            seed,
            forgotten,
            heads,
            receipts,
        })
    }

    /// Writes what a new folder has to say of itself.
    fn begin(&self) -> Result<u64, FilesError> {
        let seed = rand::random::<u64>();
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.about, FORMAT_KEY, FORMAT.to_be_bytes());
        batch.insert(&self.about, SEED_KEY, seed.to_be_bytes());
        batch.commit()?;
        Ok(seed)
    }

    pub(super) fn batch(&self) -> Batch<'_> {
        Batch {
            files: self,
            batch: self.database.batch(),
        }
    }

    /// Waits until the engine has nearly caught up with sorting what was written.
    ///
    /// It waits by itself where it is far behind, but for ever if its threads have failed meanwhile
    /// (fjall 3.1.13, `Keyspace::local_backpressure`); this keeps it from getting there.
    fn wait_for_sorting(&self) -> Result<(), FilesError> {
        let keyspaces = [
            &self.events,
            &self.heads,
            &self.receipts,
            &self.about,
            &self.spill,
        ];
        while keyspaces.iter().any(|keyspace| {
            keyspace.sealed_memtable_count() > UNSORTED || keyspace.tree.l0_run_count() > UNMERGED
        }) {
            // An error where the threads have failed.
            self.database.persist(PersistMode::Buffer)?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Hands over the events with offsets in `from..=to`, one after the other, until `each` has
    /// enough of them.
    pub(super) fn events(
        &self,
        epoch: Epoch,
        from: u64,
        to: u64,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), Malformed>,
    ) -> Result<(), FilesError> {
        if from > to {
            return Ok(());
        }
        let range = event_key(epoch, from)..=event_key(epoch, to);
        for entry in self.events.range(range) {
            let (key, record) = entry.into_inner()?;
            each(offset_of(&key)?, &record)?;
        }
        Ok(())
    }

    /// The oldest frames of a lane, with their places.
    pub(super) fn spilled(&self, lane: u16, limit: usize) -> Result<Vec<(u64, Bytes)>, FilesError> {
        let mut frames = Vec::new();
        for entry in self.spill.prefix(lane.to_be_bytes()).take(limit) {
            let (key, frame) = entry.into_inner()?;
            let (_, place) = spill_place(&key)?;
            frames.push((place, Bytes::copy_from_slice(&frame)));
        }
        Ok(frames)
    }

    /// The places of a lane up to one, and how long the frames are.
    pub(super) fn spilled_up_to(
        &self,
        lane: u16,
        up_to: u64,
    ) -> Result<Vec<(u64, usize)>, FilesError> {
        let mut places = Vec::new();
        for entry in self
            .spill
            .range(spill_key(lane, 0)..=spill_key(lane, up_to))
        {
            let (key, frame) = entry.into_inner()?;
            places.push((spill_place(&key)?.1, frame.len()));
        }
        Ok(places)
    }

    /// Visits all frames: lane, place, and how long they are.
    pub(super) fn each_spilled(
        &self,
        mut visit: impl FnMut(u16, u64, usize),
    ) -> Result<(), FilesError> {
        for entry in self.spill.iter() {
            let (key, frame) = entry.into_inner()?;
            let (lane, place) = spill_place(&key)?;
            visit(lane, place, frame.len());
        }
        Ok(())
    }

    /// The stamps of `from..=to`, all of them.
    pub(super) fn stamps(
        &self,
        epoch: Epoch,
        from: u64,
        to: u64,
    ) -> Result<Vec<Stamp>, FilesError> {
        let mut stamps = Vec::new();
        self.events(epoch, from, to, |_, record| {
            stamps.push(decode_stamp(record)?);
            Ok(())
        })?;
        // Keys are unique and in order, so as many as were asked for are the ones asked for.
        if stamps.len() as u64 == (to + 1).saturating_sub(from) {
            Ok(stamps)
        } else {
            Err(FilesError::Missing)
        }
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files")
            .field("folder", &self.events.path())
            .finish_non_exhaustive()
    }
}

/// Changes that are made together or not at all.
pub(super) struct Batch<'a> {
    files: &'a Files,
    batch: fjall::OwnedWriteBatch,
}

impl Batch<'_> {
    pub(super) fn insert_event(&mut self, epoch: Epoch, offset: u64, event: &Event, stamp: Stamp) {
        let key = event_key(epoch, offset);
        let record = encode_event(event, stamp);
        self.batch.insert(&self.files.events, key, record);
    }

    pub(super) fn remove_event(&mut self, epoch: Epoch, offset: u64) {
        let key = event_key(epoch, offset);
        self.batch.remove(&self.files.events, key);
    }

    pub(super) fn insert_head(&mut self, channel: &Channel, head: &Head) {
        let record = encode_head(head);
        self.batch
            .insert(&self.files.heads, channel.as_str(), record);
    }

    /// Removes a head, and has channels without one get other epochs than before.
    pub(super) fn forget(&mut self, channel: &Channel, slot: usize, forgotten: u64) {
        self.batch.remove(&self.files.heads, channel.as_str());
        let mut key = FORGOTTEN_KEY.to_vec();
        key.extend_from_slice(&(slot as u64).to_be_bytes());
        self.batch
            .insert(&self.files.about, key, forgotten.to_be_bytes());
    }

    pub(super) fn put_receipt(&mut self, channel: &Channel, receipt: Option<&Receipt>) {
        let receipts = &self.files.receipts;
        match receipt {
            Some(receipt) => {
                let record = encode_receipt(receipt);
                self.batch.insert(receipts, channel.as_str(), record);
            }
            None => self.batch.remove(receipts, channel.as_str()),
        }
    }

    pub(super) fn spill(&mut self, lane: u16, place: u64, frame: &[u8]) {
        let key = spill_key(lane, place);
        self.batch.insert(&self.files.spill, key, frame);
    }

    pub(super) fn unspill(&mut self, lane: u16, place: u64) {
        self.batch.remove(&self.files.spill, spill_key(lane, place));
    }

    pub(super) fn len(&self) -> usize {
        self.batch.len()
    }

    /// Makes the changes. They survive the process from then on, and a power cut if `sync`.
    pub(super) fn commit(self, sync: bool) -> Result<(), FilesError> {
        self.files.wait_for_sorting()?;
        let mode = if sync {
            PersistMode::SyncData
        } else {
            PersistMode::Buffer
        };
        self.batch.durability(Some(mode)).commit()?;
        Ok(())
    }
}

fn spill_key(lane: u16, place: u64) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&lane.to_be_bytes());
    key[2..].copy_from_slice(&place.to_be_bytes());
    key
}

fn spill_place(key: &[u8]) -> Result<(u16, u64), Malformed> {
    let (lane, place) = key.split_first_chunk::<2>().ok_or(Malformed)?;
    let place = decode_u64(place)?;
    Ok((u16::from_be_bytes(*lane), place))
}

impl FilesError {
    pub(super) fn at_open(self, folder: &Path) -> OpenError {
        let kind = match &self {
            Self::Engine(fjall::Error::Locked) => OpenErrorKind::InUse,
            Self::Engine(error) => match io_kind(error) {
                // Files that are short, or not there, are the engine's own.
                Some(
                    io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::NotFound,
                )
                | None => OpenErrorKind::Damaged,
                Some(_) => OpenErrorKind::Access,
            },
            Self::Malformed | Self::Missing => OpenErrorKind::Damaged,
        };
        OpenError::new(folder, kind).because(self)
    }
}

/// The kind of the I/O error that an error of the engine comes from, if it does.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Engine(_) => "the storage engine failed",
            Self::Malformed => "a file or record is malformed",
            Self::Missing => "events are missing",
        })
    }
}

impl std::error::Error for FilesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Engine(error) => Some(error),
            Self::Malformed | Self::Missing => None,
        }
    }
}

impl From<fjall::Error> for FilesError {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Malformed> for FilesError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn set_format(folder: &Path, format: u32) {
        let files = Files::open_engine(folder).unwrap();
        let mut batch = files.database.batch();
        batch.insert(&files.about, FORMAT_KEY, format.to_be_bytes());
        batch.commit().unwrap();
    }
}
