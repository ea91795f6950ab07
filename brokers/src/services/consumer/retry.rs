//! How often a record is tried.

use std::time::Duration;

use fanfare::{Backoff, Retry};

/// How often, and after what pauses, a record whose handler failed is tried again.
///
/// The default is three retries, after 1, 2 and 4 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The tries after the first, and how the pauses before them grow. More than
    /// [`MOST_RETRIES`](Self::MOST_RETRIES) count as that many: each failure travels with its record.
    pub retry: Retry,
    /// No pause is longer. Default 60 s.
    pub most: Duration,
}

impl RetryPolicy {
    /// How many retries a record may have.
    pub const MOST_RETRIES: u32 = 100;

    /// Whoever fails is a dead letter.
    pub const NEVER: Self = Self {
        retry: Retry::NEVER,
        most: Duration::from_secs(60),
    };

    /// So many attempts in all, with pauses that begin with `first` and double, up to 60 s.
    #[must_use]
    pub const fn attempts(attempts: u32, first: Duration) -> Self {
        Self {
            retry: Retry {
                retries: attempts.saturating_sub(1),
                backoff: Backoff::Exponential(first),
            },
            ..Self::NEVER
        }
    }

    /// The pause before the next try of a record that has failed `failed` times, at least once; none
    /// where it has failed too often.
    #[must_use]
    pub fn pause(&self, failed: usize) -> Option<Duration> {
        let retry = u32::try_from(failed.saturating_sub(1)).ok()?;
        let retries = self.retry.retries.min(Self::MOST_RETRIES);
        (retry < retries).then(|| self.retry.backoff.pause(retry).min(self.most))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::attempts(4, Duration::from_secs(1))
    }
}

impl From<Retry> for RetryPolicy {
    fn from(retry: Retry) -> Self {
        Self {
            retry,
            ..Self::NEVER
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(policy: RetryPolicy) -> Vec<u64> {
        (1..)
            .map_while(|failed| policy.pause(failed))
            .map(|pause| pause.as_secs())
            .collect()
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        assert_eq!(seconds(RetryPolicy::default()), [1, 2, 4]);
        let second = Duration::from_secs(1);
        assert_eq!(seconds(RetryPolicy::attempts(3, second)), [1, 2]);
        let many = seconds(RetryPolicy::attempts(10, second));
        assert_eq!(many, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(seconds(RetryPolicy::attempts(0, second)), [0; 0]);
        assert_eq!(seconds(RetryPolicy::NEVER), [0; 0]);
    }

    #[test]
    fn retries_end() {
        let endless = RetryPolicy::attempts(u32::MAX, Duration::from_secs(1));
        assert_eq!(seconds(endless).len(), 100);
    }
}
