//! The thread that writes: all that has gathered as one batch with one sync.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tracing::error;

use super::Shared;
use super::files::{Batch, Files, FilesError};
use super::queue::{Append, Work};
use super::record::Head;
use super::stored::{Changes, Stored};
use crate::channel::Channel;
use crate::position::Position;

/// The most events of a batch. More have waited too long already to wait for each other.
const BATCH: usize = 4_096;
/// The most bytes of a batch, apart from its last event.
const BATCH_BYTES: usize = 4 << 20;
/// The most that is removed at once of what has expired, while events may be waiting.
const EXPIRED_AT_ONCE: u64 = 1_024;
/// The most channels that are looked at for it.
const CHANNELS_AT_ONCE: usize = 4_096;

/// Writes, for as long as it has a queue to take from.
pub(super) struct Writer {
    shared: Arc<Shared>,
    files: Files,
    channels: HashMap<Channel, Stored>,
    /// What is on disk and in memory, in the order of its writing.
    resident: VecDeque<Resident>,
    resident_bytes: usize,
    /// Channels that are still to be looked at for what has expired, and the time of that.
    expiring: Vec<Channel>,
    expiring_at: u64,
    /// Tickets that have been written.
    written: u64,
}

/// A publication that memory can do without.
struct Resident {
    channel: Channel,
    position: Position,
    weight: usize,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, files: Files, heads: Vec<(Channel, Head)>) -> Self {
        let channels = heads
            .into_iter()
            .map(|(channel, head)| (channel, Stored::restored(&head)));
        Self {
            shared,
            files,
            channels: channels.collect(),
            resident: VecDeque::new(),
            resident_bytes: 0,
            expiring: Vec::new(),
            expiring_at: 0,
            written: 0,
        }
    }

    /// Runs until the queue is closed or the disk fails.
    pub(super) fn run(mut self) {
        let shared = self.shared.clone();
        // Whoever waits must hear of it if this thread should panic.
        let end = End(shared.clone());
        let outcome = self.work();
        // The folder is free before anybody is told so.
        drop(self);
        match outcome {
            Ok(()) => shared.queue.closed(),
            Err(problem) => {
                error!(
                    error = &problem as &dyn std::error::Error,
                    "history cannot be written; nothing more is accepted until the process is started anew"
                );
                shared.queue.fail(&chain(&problem));
            }
        }
        drop(end);
    }

    fn work(&mut self) -> Result<(), FilesError> {
        loop {
            let Work {
                appends,
                ticket,
                mut receipts,
                expire,
                close,
            } = self.shared.queue.take(self.expiring.is_empty());
            let mut appends = VecDeque::from(appends);
            while !appends.is_empty() || !receipts.is_empty() {
                self.write(&mut appends, &mut receipts)?;
            }
            debug_assert_eq!(self.written, ticket, "every ticket has one append");
            if close {
                return Ok(());
            }
            if let Some(now) = expire
                && self.expiring.is_empty()
            {
                self.expiring = self.channels.keys().cloned().collect();
                self.expiring_at = now;
            }
            if expire.is_some() || !self.expiring.is_empty() {
                self.expire()?;
            }
        }
    }

    /// Writes one batch of what waits, and says that it is safe.
    fn write(
        &mut self,
        appends: &mut VecDeque<Append>,
        receipts: &mut HashSet<Channel>,
    ) -> Result<(), FilesError> {
        let mut touched = HashSet::new();
        let mut bytes = 0;
        let mut count = 0;
        while count < BATCH
            && bytes < BATCH_BYTES
            && let Some(append) = appends.pop_front()
        {
            count += 1;
            bytes += append.publication.weight();
            touched.extend(self.append(append)?);
        }
        let mut batch = self.files.batch();
        let mut inserted = Vec::with_capacity(count);
        for channel in touched {
            let Some(stored) = self.channels.get_mut(&channel) else {
                continue;
            };
            let changes = stored.changes(&self.files)?;
            // Before the events are gone: a read that misses them looks here whether they may be.
            self.shared.channels.trim(&channel, changes.head.oldest);
            put_events(&mut batch, &changes);
            batch.insert_head(&channel, &changes.head);
            inserted.extend(
                changes
                    .inserted
                    .into_iter()
                    .map(|(offset, _, publication)| Resident {
                        channel: channel.clone(),
                        position: Position {
                            epoch: changes.head.epoch,
                            offset,
                        },
                        weight: publication.weight(),
                    }),
            );
        }
        for channel in receipts.drain() {
            let receipt = self.shared.receipts.get(&channel).map(|receipt| *receipt);
            batch.put_receipt(&channel, receipt.as_ref());
        }
        batch.commit(true)?;
        self.written += count as u64;
        self.shared.queue.advance(self.written);
        self.make_resident(inserted);
        Ok(())
    }

    /// Takes in one event; its channel, if it had no place yet in this batch or one before.
    fn append(&mut self, append: Append) -> Result<Option<Channel>, FilesError> {
        let Some(position) = append.publication.position() else {
            return Ok(None);
        };
        let channel = append.publication.event().channel().clone();
        let stored = self
            .channels
            .entry(channel.clone())
            .or_insert_with(|| Stored::new(position.epoch));
        if stored.position().epoch != position.epoch {
            // The channel was forgotten in between.
            *stored = Stored::new(position.epoch);
        }
        stored.append(append, &self.shared.clock, &self.files)?;
        Ok(Some(channel))
    }

    /// Counts what memory could do without now, and lets go of the oldest beyond the bound.
    fn make_resident(&mut self, written: Vec<Resident>) {
        for resident in written {
            self.resident_bytes += resident.weight;
            self.resident.push_back(resident);
        }
        while self.resident_bytes > self.shared.tail_bytes
            && let Some(oldest) = self.resident.pop_front()
        {
            self.resident_bytes -= oldest.weight;
            self.shared.channels.evict(&oldest.channel, oldest.position);
        }
    }

    /// Removes some of what has expired.
    fn expire(&mut self) -> Result<(), FilesError> {
        let mut batch = self.files.batch();
        let mut left = EXPIRED_AT_ONCE;
        let mut over = Vec::new();
        let mut forgotten = HashMap::new();
        for _ in 0..CHANNELS_AT_ONCE {
            let Some(channel) = self.expiring.pop() else {
                break;
            };
            let Some(stored) = self.channels.get_mut(&channel) else {
                continue;
            };
            let expired = stored.expire(self.expiring_at, left, &self.files)?;
            left -= expired;
            let is_over = stored.is_over(self.expiring_at);
            if expired > 0 {
                let changes = stored.changes(&self.files)?;
                self.shared.channels.trim(&channel, changes.head.oldest);
                put_events(&mut batch, &changes);
                if !is_over {
                    batch.insert_head(&channel, &changes.head);
                }
            }
            if is_over {
                let (slot, count) = self.shared.channels.forgotten(&channel);
                let count = *forgotten
                    .entry(slot)
                    .and_modify(|count| *count += 1)
                    .or_insert(count + 1);
                batch.forget(&channel, slot, count);
                over.push((channel.clone(), stored.position(), count));
            }
            if left == 0 {
                self.expiring.push(channel);
                break;
            }
        }
        if batch.len() > 0 {
            // An epoch must be over for good before its channel is given another. What has merely
            // expired may come back and expire again.
            batch.commit(!over.is_empty())?;
        }
        for (channel, position, count) in over {
            // Where something was appended meanwhile, its batch writes the head anew.
            if self.shared.channels.forget(&channel, position, count) {
                self.channels.remove(&channel);
            }
        }
        #[cfg(test)]
        if self.expiring.is_empty() {
            self.shared.rounds.send_modify(|rounds| *rounds += 1);
        }
        Ok(())
    }
}

fn put_events(batch: &mut Batch<'_>, changes: &Changes) {
    let epoch = changes.head.epoch;
    for (offset, stamp, publication) in &changes.inserted {
        batch.insert_event(epoch, *offset, publication.event(), *stamp);
    }
    for offset in changes.removed.clone() {
        batch.remove_event(epoch, offset);
    }
}

/// Tells those who wait when the writer ends, however that may be.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0
            .queue
            .fail("the thread that writes history has ended");
    }
}

/// An error and what it comes from, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
