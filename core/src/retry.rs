//! How often, and after what pauses, a delivery that failed is tried again.

use std::time::Duration;

use crate::event::{Guarantee, Priority};

/// A retry rule: data, for whoever delivers outside the process, where delivering can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first. An event that is still not delivered then is a dead letter.
    pub retries: u32,
    /// The pauses before them.
    pub backoff: Backoff,
}

/// How the pauses between tries grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backoff {
    /// No pause.
    None,
    /// Once, twice, three times this long.
    Linear(Duration),
    /// This long, then twice as long each time.
    Exponential(Duration),
}

impl Retry {
    /// Nothing is tried again.
    pub const NEVER: Self = Self {
        retries: 0,
        backoff: Backoff::None,
    };

    /// The rule for events of a priority that must arrive: high after 1, 2, 4, 8 and 16 s, medium
    /// after 1, 2 and 3 s, low once more at once.
    #[must_use]
    pub const fn of(priority: Priority, guarantee: Guarantee) -> Self {
        const SECOND: Duration = Duration::from_secs(1);
        match (guarantee, priority) {
            (Guarantee::BestEffort | Guarantee::Ephemeral, _) => Self::NEVER,
            (Guarantee::AtLeastOnce, Priority::High) => Self {
                retries: 5,
                backoff: Backoff::Exponential(SECOND),
            },
            (Guarantee::AtLeastOnce, Priority::Medium) => Self {
                retries: 3,
                backoff: Backoff::Linear(SECOND),
            },
            (Guarantee::AtLeastOnce, Priority::Low) => Self {
                retries: 1,
                backoff: Backoff::None,
            },
        }
    }

    /// The pauses, one before each retry.
    pub fn pauses(self) -> impl Iterator<Item = Duration> {
        (0..self.retries).map(move |retry| self.backoff.pause(retry))
    }
}

impl Backoff {
    /// The pause before a retry, counted from 0. Grows no longer than a `Duration` can say.
    #[must_use]
    pub fn pause(self, retry: u32) -> Duration {
        match self {
            Self::None => Duration::ZERO,
            Self::Linear(step) => step.saturating_mul(retry.saturating_add(1)),
            Self::Exponential(first) => {
                first.saturating_mul(1u32.checked_shl(retry).unwrap_or(u32::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(priority: Priority, guarantee: Guarantee) -> Vec<u64> {
        let pauses = Retry::of(priority, guarantee).pauses();
        pauses.map(|pause| pause.as_secs()).collect()
    }

    #[test]
    fn the_more_urgent_the_more_often() {
        let must_arrive = |priority| seconds(priority, Guarantee::AtLeastOnce);
        assert_eq!(must_arrive(Priority::High), [1, 2, 4, 8, 16]);
        assert_eq!(must_arrive(Priority::Medium), [1, 2, 3]);
        assert_eq!(must_arrive(Priority::Low), [0]);
        assert_eq!(seconds(Priority::High, Guarantee::BestEffort), [0; 0]);
    }

    #[test]
    fn pauses_do_not_overflow() {
        let backoff = Backoff::Exponential(Duration::MAX);
        assert_eq!(backoff.pause(u32::MAX), Duration::MAX);
        assert_eq!(
            Backoff::Exponential(Duration::from_secs(1)).pause(40),
            Duration::from_secs(u64::from(u32::MAX))
        );
    }
}
