//! What the writer knows of a channel on disk, and what retention leaves of it.

use std::collections::VecDeque;
use std::mem;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::clock::{Clock, whole};
use super::files::{Files, FilesError};
use super::queue::Append;
use super::record::{Head, Stamp};
use crate::event::Publication;
use crate::history::Retention;
use crate::position::{Epoch, Position};

/// How many stamps are read at once, and kept.
const STAMPS: usize = 32;
/// The most that one append removes, so that a batch stays small when a channel's limits shrink.
const REMOVED_AT_ONCE: u64 = 1_024;

/// A channel as it is on disk, and as the batch under way will leave it.
#[derive(Debug)]
pub(super) struct Stored {
    epoch: Epoch,
    /// The newest offset.
    top: u64,
    /// The oldest offset that is kept.
    oldest: u64,
    /// The weight of what is kept.
    bytes: u64,
    age: u64,
    touched: u64,
    /// The stamps of the oldest that are on disk, from `oldest` on.
    stamps: VecDeque<Stamp>,
    /// The newest and oldest offset on disk before the batch under way.
    top_on_disk: u64,
    oldest_on_disk: u64,
    /// What the batch appends: offsets from `top_on_disk + 1` on.
    appended: Vec<(Stamp, Arc<Publication>)>,
}

/// What a batch has to change for a channel.
#[derive(Debug)]
pub(super) struct Changes {
    /// Events that are new, and still kept.
    pub(super) inserted: Vec<(u64, Stamp, Arc<Publication>)>,
    /// Offsets to remove from disk.
    pub(super) removed: RangeInclusive<u64>,
    pub(super) head: Head,
}

impl Stored {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            top: 0,
            oldest: 1,
            bytes: 0,
            age: 0,
            touched: 0,
            stamps: VecDeque::new(),
            top_on_disk: 0,
            oldest_on_disk: 1,
            appended: Vec::new(),
        }
    }

    pub(super) fn restored(head: &Head) -> Self {
        let kept = head.oldest <= head.top;
        Self {
            epoch: head.epoch,
            top: head.top,
            oldest: head.oldest,
            bytes: head.bytes,
            age: head.age,
            touched: head.touched,
            stamps: kept.then_some(head.oldest_stamp).into_iter().collect(),
            top_on_disk: head.top,
            oldest_on_disk: head.oldest,
            appended: Vec::new(),
        }
    }

    pub(super) fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            offset: self.top,
        }
    }

    /// Takes in an event, whose offset is the next, and drops what it displaces.
    pub(super) fn append(
        &mut self,
        append: Append,
        clock: &Clock,
        files: &Files,
    ) -> Result<(), FilesError> {
        let publication = append.publication;
        let stamp = Stamp {
            at: clock.at(publication.event().accepted_at()),
            weight: u32::try_from(publication.weight()).unwrap_or(u32::MAX),
        };
        self.top += 1;
        self.bytes += u64::from(stamp.weight);
        self.age = whole(append.retention.age);
        self.touched = append.at;
        self.appended.push((stamp, publication));
        for _ in 0..REMOVED_AT_ONCE {
            if !self.is_exceeded(&append.retention, files)? {
                break;
            }
            self.drop_oldest(files)?;
        }
        Ok(())
    }

    /// Drops what has outlived the channel's age at `now`, at most `most` events; says how many.
    pub(super) fn expire(&mut self, now: u64, most: u64, files: &Files) -> Result<u64, FilesError> {
        let mut dropped = 0;
        while dropped < most
            && let Some(oldest) = self.oldest_stamp(files)?
            && now.saturating_sub(oldest.at) > self.age
        {
            self.drop_oldest(files)?;
            dropped += 1;
        }
        Ok(dropped)
    }

    /// Whether nothing is left and nobody has published for so long that the channel's offsets may
    /// be forgotten.
    pub(super) fn is_over(&self, now: u64) -> bool {
        let idle = now.saturating_sub(self.touched);
        self.oldest > self.top && idle > self.age.saturating_mul(2)
    }

    /// What has changed since the last call, which from now on counts as being on disk.
    pub(super) fn changes(&mut self, files: &Files) -> Result<Changes, FilesError> {
        let oldest_stamp = self.oldest_stamp(files)?;
        let first = self.top_on_disk + 1;
        let mut inserted = Vec::new();
        for ((stamp, publication), offset) in mem::take(&mut self.appended).into_iter().zip(first..)
        {
            if offset < self.oldest {
                continue;
            }
            // Channels that keep little then never have to read stamps back.
            let stamped = self.stamps.len();
            if self.oldest + stamped as u64 == offset && stamped < STAMPS {
                self.stamps.push_back(stamp);
            }
            inserted.push((offset, stamp, publication));
        }
        let removed = self.oldest_on_disk..=self.top_on_disk.min(self.oldest - 1);
        self.top_on_disk = self.top;
        self.oldest_on_disk = self.oldest;
        let head = Head {
            epoch: self.epoch,
            top: self.top,
            oldest: self.oldest,
            oldest_stamp: oldest_stamp.unwrap_or(Stamp { at: 0, weight: 0 }),
            bytes: self.bytes,
            age: self.age,
            touched: self.touched,
        };
        Ok(Changes {
            inserted,
            removed,
            head,
        })
    }

    fn is_exceeded(&mut self, retention: &Retention, files: &Files) -> Result<bool, FilesError> {
        let Some(oldest) = self.oldest_stamp(files)? else {
            return Ok(false);
        };
        let kept = usize::try_from(self.top + 1 - self.oldest).unwrap_or(usize::MAX);
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        let age = Duration::from_millis(self.touched.saturating_sub(oldest.at));
        Ok(retention.is_exceeded(kept, bytes, age))
    }

    fn drop_oldest(&mut self, files: &Files) -> Result<(), FilesError> {
        if let Some(stamp) = self.oldest_stamp(files)? {
            self.bytes = self.bytes.saturating_sub(u64::from(stamp.weight));
            self.stamps.pop_front();
            self.oldest += 1;
        }
        Ok(())
    }

    /// The stamp of the oldest that is kept, read from disk where it must be.
    fn oldest_stamp(&mut self, files: &Files) -> Result<Option<Stamp>, FilesError> {
        if self.oldest > self.top_on_disk {
            let appended = usize::try_from(self.oldest - self.top_on_disk - 1);
            let stamp = appended.ok().and_then(|at| self.appended.get(at));
            return Ok(stamp.map(|(stamp, _)| *stamp));
        }
        if self.stamps.is_empty() {
            let last = self.top_on_disk.min(self.oldest + STAMPS as u64 - 1);
            self.stamps = files.stamps(self.epoch, self.oldest, last)?.into();
        }
        Ok(self.stamps.front().copied())
    }
}
