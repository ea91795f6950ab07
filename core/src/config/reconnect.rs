use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::seconds;

/// How clients that lost their connection should come back: at first after `initial`, each time
/// `multiplier` as late as before, never later than `max`, and without end.
///
/// It is told, not enforced. Event streams get their first pause as `retry:`, between `initial` and that
/// times `multiplier` at random, because those that were cut off together must not come back together.
/// Refusals of HTTP that may pass carry all of it under `details.backoff`, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reconnect {
    /// Before the first try; default 1 s.
    #[serde(with = "seconds")]
    pub initial: Duration,
    /// The longest pause; default 30 s.
    #[serde(with = "seconds")]
    pub max: Duration,
    /// From one pause to the next; default 2, at least 1.
    pub multiplier: f64,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(30),
            multiplier: 2.0,
        }
    }
}

impl Reconnect {
    /// The pause before the second try: the most that the first one may be.
    #[must_use]
    pub fn second(&self) -> Duration {
        let second = Duration::try_from_secs_f64(self.initial.as_secs_f64() * self.multiplier);
        second.unwrap_or(self.max).clamp(self.initial, self.max)
    }

    /// What is wrong with it, if anything is.
    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.initial.is_zero() || self.initial > self.max {
            return Some("reconnect.initial must be above 0 and at most reconnect.max");
        }
        // Not a number fails too.
        if !(self.multiplier >= 1.0 && self.multiplier.is_finite()) {
            return Some("reconnect.multiplier must be at least 1");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let second = |initial, max, multiplier| {
            let reconnect = Reconnect {
                initial: Duration::from_secs(initial),
                max: Duration::from_secs(max),
                multiplier,
            };
            assert_eq!(reconnect.problem(), None);
            reconnect.second().as_millis()
        };
        assert_eq!(second(1, 30, 1.5), 1_500);
        assert_eq!(second(20, 30, 2.0), 30_000);
        assert_eq!(second(5, 5, 1.0), 5_000);
        assert_eq!(second(1, 30, f64::MAX), 30_000);
    }

    #[test]
    fn what_cannot_grow_is_refused() {
        let one = Duration::from_secs(1);
        for (initial, max, multiplier) in [
            (Duration::ZERO, one, 2.0),
            (2 * one, one, 2.0),
            (one, one, 0.5),
            (one, one, f64::NAN),
            (one, one, f64::INFINITY),
        ] {
            let reconnect = Reconnect {
                initial,
                max,
                multiplier,
            };
            assert!(reconnect.problem().is_some(), "{reconnect:?}");
        }
    }
}
