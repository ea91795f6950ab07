//! What one reader thread counts.

use std::collections::BTreeMap;
use std::ops::Range;

use hdrhistogram::Histogram;

#[derive(Debug)]
pub(crate) struct Tally {
    /// Events that came for the first time.
    pub(crate) deliveries: u64,
    /// WebSocket text messages.
    pub(crate) messages: u64,
    pub(crate) duplicates: u64,
    /// Events that came before one published earlier.
    pub(crate) ahead: u64,
    /// Events that came after one published later.
    pub(crate) late: u64,
    /// Events jumped over that have not come since.
    pub(crate) missing: u64,
    /// Events at the end of a connection's sequence that never came.
    pub(crate) tail: u64,
    /// The same for connections that were closed before the end.
    pub(crate) cut_off: u64,
    /// Events of another channel or another run.
    pub(crate) foreign: u64,
    /// Pushes without a marker.
    pub(crate) other_pushes: u64,
    pub(crate) pings: u64,
    /// Connections that could not be set up, by reason.
    pub(crate) failures: BTreeMap<String, u64>,
    /// Connections that ended on their own after that, by code and reason.
    pub(crate) disconnects: BTreeMap<String, u64>,
    pub(crate) latency: Latency,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            deliveries: 0,
            messages: 0,
            duplicates: 0,
            ahead: 0,
            late: 0,
            missing: 0,
            tail: 0,
            cut_off: 0,
            foreign: 0,
            other_pushes: 0,
            pings: 0,
            failures: BTreeMap::new(),
            disconnects: BTreeMap::new(),
            latency: Latency::new(),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.deliveries += other.deliveries;
        self.messages += other.messages;
        self.duplicates += other.duplicates;
        self.ahead += other.ahead;
        self.late += other.late;
        self.missing += other.missing;
        self.tail += other.tail;
        self.cut_off += other.cut_off;
        self.foreign += other.foreign;
        self.other_pushes += other.other_pushes;
        self.pings += other.pings;
        for (reason, count) in other.failures {
            *self.failures.entry(reason).or_default() += count;
        }
        for (reason, count) in other.disconnects {
            *self.disconnects.entry(reason).or_default() += count;
        }
        self.latency.flush();
        self.latency
            .histogram
            .add(other.latency.into_histogram())
            .expect("same bounds");
    }
}

/// Times from an event's making to its reading, of events made inside of `window`.
#[derive(Debug)]
pub(crate) struct Latency {
    /// Nanoseconds since the start of the run.
    pub(crate) window: Range<u64>,
    histogram: Histogram<u64>,
    /// Events of one batch that were read together have the same time: they are recorded together.
    run: Run,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Run {
    sent: u64,
    read: u64,
    count: u64,
}

impl Latency {
    fn new() -> Self {
        Self {
            window: u64::MAX..u64::MAX,
            histogram: microseconds(),
            run: Run::default(),
        }
    }

    #[inline]
    pub(crate) fn record(&mut self, sent: u64, read: u64) {
        if sent != self.run.sent || read != self.run.read {
            self.flush();
            self.run = Run {
                sent,
                read,
                count: 0,
            };
        }
        self.run.count += 1;
    }

    fn flush(&mut self) {
        let Run { sent, read, count } = std::mem::take(&mut self.run);
        if count > 0 && self.window.contains(&sent) {
            self.histogram
                .saturating_record_n(read.saturating_sub(sent) / 1_000, count);
        }
    }

    pub(crate) fn into_histogram(mut self) -> Histogram<u64> {
        self.flush();
        self.histogram
    }
}

/// From 1 us to 10 min.
pub(crate) fn microseconds() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).expect("valid bounds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_made_inside_of_the_window_count() {
        let mut tally = Tally::new();
        tally.latency.window = 1_000_000..2_000_000;
        for (sent, read) in [
            (999_999, 3_000_000),
            (1_000_000, 3_000_000),
            (1_000_000, 3_000_000),
            (2_000_000, 9_000_000),
        ] {
            tally.latency.record(sent, read);
        }
        let mut sum = Tally::new();
        sum.add(tally);
        let histogram = sum.latency.into_histogram();
        assert_eq!(histogram.len(), 2);
        assert_eq!(histogram.max(), 2_000);
    }
}
