//! How far the log has been handed over.

use std::sync::atomic::{AtomicU64, Ordering};

use fanfare::broker::Covered;
use fanfare::{Channel, Epoch, Position};

use super::topics::Log;

/// Where each partition of one incarnation of the log has been read from and to. What Kafka has at
/// offset 0 has position 1: a partition is covered up to `to`, and `to` is the offset to read next.
#[derive(Debug)]
pub(super) struct Positions {
    log: Log,
    parts: Box<[Part]>,
}

#[derive(Debug)]
struct Part {
    name: String,
    from: u64,
    to: AtomicU64,
}

impl Positions {
    /// Read from an offset of Kafka on, for each partition, and not further yet.
    pub(super) fn new(log: Log, starts: impl Iterator<Item = Start>) -> Self {
        let identity = log.identity();
        let part = |(partition, start): (usize, Start)| Part {
            name: format!("{identity}/{partition}"),
            from: start.from + 1,
            to: AtomicU64::new(start.next),
        };
        let parts = starts.enumerate().map(part).collect();
        Self { log, parts }
    }

    /// Before anything is known of the log.
    pub(super) fn unknown() -> Self {
        Self::new(Log::new("", 0, 1), [Start { from: 0, next: 0 }].into_iter())
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    pub(super) fn partitions(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn partition(&self, channel: &Channel) -> usize {
        channel.lane() % self.parts.len()
    }

    /// The offset that Kafka is to send next.
    pub(super) fn next(&self, partition: usize) -> u64 {
        self.parts[partition].to.load(Ordering::Acquire)
    }

    /// What has been covered begins behind this offset of Kafka.
    pub(super) fn from(&self, partition: usize) -> u64 {
        self.parts[partition].from - 1
    }

    /// The position of what Kafka has at an offset.
    pub(super) fn at(&self, channel: &Channel, offset: u64) -> Position {
        Position {
            epoch: self.epoch(channel),
            offset: offset + 1,
        }
    }

    /// The ingress has what Kafka had at `offset`.
    pub(super) fn cover(&self, partition: usize, offset: u64) {
        self.parts[partition]
            .to
            .store(offset + 1, Ordering::Release);
    }

    pub(super) fn covered(&self, channel: &Channel) -> Covered {
        let part = &self.parts[self.partition(channel)];
        Covered {
            epoch: self.epoch(channel),
            from: part.from,
            to: part.to.load(Ordering::Acquire),
        }
    }

    fn epoch(&self, channel: &Channel) -> Epoch {
        Epoch::of_log(&self.parts[self.partition(channel)].name, channel)
    }
}

/// Where reading a partition stands when it begins, in offsets of Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// What has been covered begins here.
    pub(super) from: u64,
    /// What is to be read next.
    pub(super) next: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_covered_from_its_start_to_the_last_that_was_handed_over() {
        let start = Start { from: 7, next: 7 };
        let positions = Positions::new(Log::new("log", 1, 8), [start; 8].into_iter());
        let channel = Channel::new("thread.1").unwrap();
        let partition = positions.partition(&channel);
        let covered = positions.covered(&channel);
        assert_eq!((covered.from, covered.to), (8, 7));
        positions.cover(partition, 9);
        let covered = positions.covered(&channel);
        assert_eq!((covered.from, covered.to), (8, 10));
        assert_eq!(positions.at(&channel, 9).epoch, covered.epoch);
        assert_eq!(
            (positions.from(partition), positions.next(partition)),
            (7, 10)
        );
    }

    #[test]
    fn another_incarnation_has_other_epochs() {
        let channel = Channel::new("thread.1").unwrap();
        let start = Start { from: 0, next: 0 };
        let of = |number| {
            let positions = Positions::new(Log::new("log", number, 8), [start; 8].into_iter());
            positions.covered(&channel).epoch
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
