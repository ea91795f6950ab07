//! Frames that are no events.

use std::time::Duration;

use fanfare::broker::FrameError;
use metrics::Counter;
use tokio::time::Instant;
use tracing::warn;

const PAUSE: Duration = Duration::from_secs(10);

/// Counts frames that could not be decoded, and says so at most every ten seconds.
#[derive(Debug)]
pub(super) struct Undecodable {
    counter: Counter,
    unsaid: u64,
    said: Option<Instant>,
}

impl Undecodable {
    pub(super) fn new() -> Self {
        let counter = metrics::counter!("fanfare_events_dropped_total", "reason" => "undecodable");
        Self {
            counter,
            unsaid: 0,
            said: None,
        }
    }

    pub(super) fn count(&mut self, place: &str, error: FrameError) {
        self.counter.increment(1);
        self.unsaid += 1;
        if self.said.is_none_or(|said| said.elapsed() >= PAUSE) {
            warn!(place, %error, frames = self.unsaid, "skipped what is no event");
            self.said = Some(Instant::now());
            self.unsaid = 0;
        }
    }
}
