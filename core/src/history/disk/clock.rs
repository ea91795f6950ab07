//! The time of day, counted on from when the store was opened.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Milliseconds since 1970. Read off the wall once, at open, so that ages survive a restart; counted
/// on from there, so that no age jumps when somebody sets the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    opened: Instant,
    opened_at: u64,
}

impl Clock {
    pub(super) fn starting_at(time: SystemTime) -> Self {
        Self {
            opened: Instant::now(),
            opened_at: millis(time),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    pub(super) fn at(&self, instant: Instant) -> u64 {
        let after = instant.saturating_duration_since(self.opened);
        let before = self.opened.saturating_duration_since(instant);
        (self.opened_at.saturating_add(whole(after))).saturating_sub(whole(before))
    }

    /// The instant of a time; the store's opening where the machine's clock does not reach back.
    pub(super) fn instant(&self, at: u64) -> Instant {
        if at >= self.opened_at {
            self.opened + Duration::from_millis(at - self.opened_at)
        } else {
            let before = Duration::from_millis(self.opened_at - at);
            self.opened.checked_sub(before).unwrap_or(self.opened)
        }
    }
}

/// Milliseconds since 1970; 0 before.
pub(super) fn millis(time: SystemTime) -> u64 {
    whole(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Whole milliseconds.
pub(super) fn whole(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
