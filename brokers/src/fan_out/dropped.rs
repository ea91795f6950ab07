//! Events that are lost, and have to be told of.

use std::fmt;
use std::time::Duration;

use metrics::Counter;
use tokio::time::Instant;
use tracing::warn;

const PAUSE: Duration = Duration::from_secs(10);

/// Counts what was dropped for one reason, and says so at most every ten seconds.
#[derive(Debug)]
pub(super) struct Dropped {
    reason: &'static str,
    counter: Counter,
    unsaid: u64,
    said: Option<Instant>,
}

impl Dropped {
    pub(super) fn new(reason: &'static str) -> Self {
        Self {
            reason,
            counter: metrics::counter!("fanfare_events_dropped_total", "reason" => reason),
            unsaid: 0,
            said: None,
        }
    }

    pub(super) fn count(&mut self, count: u64, place: &str, detail: impl fmt::Display) {
        self.counter.increment(count);
        self.unsaid += count;
        if self.said.is_none_or(|said| said.elapsed() >= PAUSE) {
            let (reason, events) = (self.reason, self.unsaid);
            warn!(reason, place, %detail, events, "events were dropped on the way from a broker");
            self.said = Some(Instant::now());
            self.unsaid = 0;
        }
    }
}
