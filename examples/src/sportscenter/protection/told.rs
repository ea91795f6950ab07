//! What has been said, so that it is not said all the time.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::condition::Condition;

/// Who was told what until when.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<(String, &'static str), Instant>);

impl Told {
    /// Whether a condition is to be said now; it is not again within its window.
    pub(super) fn is_news(&mut self, condition: &Condition, now: Instant) -> bool {
        let window = condition.window();
        if window == Duration::ZERO {
            return true;
        }
        let (user, kind) = condition.key();
        let key = (user.to_owned(), kind);
        if self.0.get(&key).is_some_and(|until| now < *until) {
            return false;
        }
        self.0.insert(key, now + window);
        true
    }

    /// Forgets those whose window is over.
    pub(super) fn forget(&mut self, now: Instant) {
        self.0.retain(|_, until| now < *until);
        self.0.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::super::condition::Usage;
    use super::*;

    fn near(user: &str) -> Condition {
        Condition::NearLimit {
            user: user.to_owned(),
            rate: Usage {
                used: 48,
                limit: 60,
                per: Duration::from_secs(60),
            },
        }
    }

    #[test]
    fn one_warning_a_user_and_window() {
        let mut told = Told::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(told.is_news(&near("a"), at(0)));
        assert!(!told.is_news(&near("a"), at(59)));
        assert!(told.is_news(&near("b"), at(59)), "another user");
        let Condition::NearLimit { user, rate } = near("a") else {
            unreachable!()
        };
        let reached = Condition::LimitReached { user, rate };
        assert!(told.is_news(&reached, at(59)), "another condition");
        assert!(told.is_news(&near("a"), at(60)));
        told.forget(at(119));
        assert_eq!(told.0.len(), 1, "what was said at 60 s");
        assert!(!told.is_news(&near("a"), at(119)));
    }

    #[test]
    fn the_brokers_comings_and_goings_are_all_said() {
        let mut told = Told::default();
        let now = Instant::now();
        for condition in [
            Condition::BrokerLost,
            Condition::BrokerBack,
            Condition::BrokerLost,
        ] {
            assert!(told.is_news(&condition, now));
        }
    }
}
