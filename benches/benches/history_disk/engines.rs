//! The engines that were compared, driven directly and as the store drives one of them: a batch of
//! events and the heads of their channels, one sync, nothing else. And the store.

use std::path::{Path, PathBuf};

use fanfare::history::Retention;
use fanfare::history::disk::Disk;
use fanfare::{Channel, Event, HistoryStore};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use tokio::runtime::{Builder, Runtime};

use crate::events;

/// Channels that events go to in turn.
pub(crate) const CHANNELS: u64 = 100;
/// Bytes of a record: a payload of 300 and what stands around it.
const RECORD: [u8; 348] = [b'x'; 348];
/// Bytes of a channel's head.
const HEAD: [u8; 88] = [b'h'; 88];

pub(crate) trait Engine {
    /// Writes events `first..first + count` as one batch that is safe when this returns.
    fn commit(&mut self, first: u64, count: u64);

    /// Reads all heads, and says how many there are.
    fn heads(&self) -> usize;
}

/// The engines by name, and the store.
pub(crate) const NAMES: [&str; 5] = [
    "fjall",
    "redb",
    "redb, quick repair",
    "Disk",
    "Disk, full channels",
];

/// Opens or creates.
pub(crate) fn open(name: &str, folder: &Path) -> Box<dyn Engine> {
    match name {
        "fjall" => Box::new(Fjall::open(folder)),
        "redb" => Box::new(Redb::open(folder, false)),
        "redb, quick repair" => Box::new(Redb::open(folder, true)),
        "Disk" => Box::new(Store::open(folder, usize::MAX)),
        "Disk, full channels" => Box::new(Store::open(folder, 100)),
        other => panic!("no engine is called {other}"),
    }
}

struct Fjall {
    database: Database,
    events: Keyspace,
    heads: Keyspace,
}

impl Fjall {
    fn open(folder: &Path) -> Self {
        let database = Database::builder(folder)
            .max_journaling_size(64 << 20)
            .worker_threads(2)
            .open()
            .expect("fjall opens");
        let keyspace = |name| {
            database
                .keyspace(name, || {
                    KeyspaceCreateOptions::default().max_memtable_size(16 << 20)
                })
                .expect("a keyspace opens")
        };
        Self {
            events: keyspace("events"),
            heads: keyspace("heads"),
            database,
        }
    }
}

impl Engine for Fjall {
    fn commit(&mut self, first: u64, count: u64) {
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for event in first..first + count {
            batch.insert(&self.events, key(event), RECORD);
        }
        for channel in 0..count.min(CHANNELS) {
            batch.insert(&self.heads, head(first + channel), HEAD);
        }
        batch.commit().expect("fjall commits");
    }

    fn heads(&self) -> usize {
        let heads = self.heads.iter().map(|entry| entry.into_inner());
        heads
            .collect::<Result<Vec<_>, _>>()
            .expect("heads are read")
            .len()
    }
}

const EVENTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("events");
const HEADS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("heads");

struct Redb {
    database: redb::Database,
    quick_repair: bool,
}

impl Redb {
    fn open(folder: &Path, quick_repair: bool) -> Self {
        let file: PathBuf = folder.join("history.redb");
        let database = redb::Builder::new()
            .set_cache_size(64 << 20)
            .create(file)
            .expect("redb opens");
        Self {
            database,
            quick_repair,
        }
    }
}

impl Engine for Redb {
    fn commit(&mut self, first: u64, count: u64) {
        let mut transaction = self.database.begin_write().expect("a transaction begins");
        transaction.set_quick_repair(self.quick_repair);
        let mut events = transaction.open_table(EVENTS).expect("a table opens");
        for event in first..first + count {
            let key = key(event);
            events
                .insert(&key[..], &RECORD[..])
                .expect("an event is inserted");
        }
        drop(events);
        let mut heads = transaction.open_table(HEADS).expect("a table opens");
        for channel in 0..count.min(CHANNELS) {
            let key = head(first + channel);
            heads
                .insert(&key[..], &HEAD[..])
                .expect("a head is inserted");
        }
        drop(heads);
        transaction.commit().expect("redb commits");
    }

    fn heads(&self) -> usize {
        let transaction = self.database.begin_read().expect("a transaction begins");
        let heads = transaction.open_table(HEADS).expect("a table opens");
        let heads = heads.iter().expect("heads are read");
        heads
            .collect::<Result<Vec<_>, _>>()
            .expect("heads are read")
            .len()
    }
}

/// The store itself, in which a group is what 1 to 1,024 publishers wait for at a time.
struct Store {
    disk: Disk,
    runtime: Runtime,
    events: Vec<Event>,
    retention: Retention,
}

impl Store {
    fn open(folder: &Path, kept: usize) -> Self {
        let event = |channel| {
            let channel = Channel::new(&format!("thread.{channel}"));
            let channel = channel.expect("the name is a channel name");
            let event = Event::new(channel, "forum.comment.created", events::payload(300, 0));
            event.expect("the payload is JSON")
        };
        Self {
            disk: Disk::open(folder).expect("the store opens"),
            runtime: Builder::new_current_thread()
                .build()
                .expect("a runtime starts"),
            events: (0..CHANNELS).map(event).collect(),
            retention: Retention {
                events: kept,
                bytes: usize::MAX,
                ..Retention::default()
            },
        }
    }
}

impl Engine for Store {
    fn commit(&mut self, first: u64, count: u64) {
        let mut last = 0;
        for event in first..first + count {
            let event = self.events[(event % CHANNELS) as usize].clone();
            last = self.disk.append(event, &self.retention).ticket;
        }
        let committed = self.runtime.block_on(self.disk.committed(last));
        committed.expect("the store is up");
    }

    fn heads(&self) -> usize {
        let tops = self
            .events
            .iter()
            .map(|event| self.disk.top(event.channel()));
        tops.filter(|top| top.offset > 0).count()
    }
}

/// The channel's epoch, which is random, and the offset.
fn key(event: u64) -> [u8; 16] {
    let mut key = [0; 16];
    let epoch = (event % CHANNELS + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    key[..8].copy_from_slice(&epoch.to_be_bytes());
    key[8..].copy_from_slice(&(event / CHANNELS + 1).to_be_bytes());
    key
}

fn head(event: u64) -> Vec<u8> {
    format!("thread.{}", event % CHANNELS).into_bytes()
}
