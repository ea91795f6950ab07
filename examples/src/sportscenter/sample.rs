//! Events as SportsCenter's backend might publish them, in lifelike proportions.

mod activity;
mod analytics;
mod cache;
mod limits;
mod mentors;

use std::f64::consts::TAU;

use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::Value;
use uuid::Builder;

/// Who the demo's own token is for.
pub(super) const DEMO_USER: &str = USERS[0];

/// A small club: the first is a coach, the others train.
const USERS: &[&str] = &[
    "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a60",
    "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a61",
    "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a62",
    "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a63",
    "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a64",
    "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a65",
];
/// The sessions that are going on.
const SESSIONS: &[&str] = &[
    "0192f6d1-1a2b-7c3d-8e4f-5a6b7c8d9e01",
    "0192f6d1-1a2b-7c3d-8e4f-5a6b7c8d9e02",
    "0192f6d1-1a2b-7c3d-8e4f-5a6b7c8d9e03",
];

type Make = fn(&mut Scene<'_>) -> Value;

/// How often each event happens, relative to the others. Sensors outweigh people, people what is
/// counted of them, and that what the platform tells itself.
const EVENTS: &[(u32, Make)] = &[
    (300, activity::metric_recorded),
    (40, activity::session_status),
    (90, activity::session_feedback),
    (60, activity::video_status),
    (20, activity::video_analysis),
    (40, activity::goal_update),
    (80, activity::message_new),
    (8, activity::message_updated),
    (4, activity::message_deleted),
    (40, activity::notification_new),
    (60, activity::community_activity),
    (5, mentors::session_status_changed),
    (10, mentors::note_added),
    (3, mentors::feedback_submitted),
    (3, mentors::assessment_status_changed),
    (6, mentors::metric_updated),
    (3, mentors::plan_updated),
    (3, mentors::availability_changed),
    (4, mentors::session_booked),
    (40, analytics::performance_metric),
    (8, analytics::trend_update),
    (4, analytics::milestone_achieved),
    (12, analytics::session_engagement),
    (20, analytics::platform_usage),
    (15, analytics::content_engagement),
    (10, analytics::community_engagement),
    (3, analytics::collaboration_metrics),
    (2, analytics::subscription_metric),
    (6, analytics::feature_usage),
    (8, analytics::system_performance),
    (2, analytics::error_event),
    (20, cache::entity_invalidated),
    (2, cache::bulk_entities_invalidated),
    (3, cache::relationship_invalidated),
    (4, cache::pattern_invalidated),
    (3, cache::tags_invalidated),
    (1, cache::time_window_invalidated),
    (1, cache::schedule_invalidation),
    (8, cache::realtime_metrics_sync),
    (8, cache::live_session_sync),
    (4, cache::version_vector_update),
    (1, cache::conflict_detected),
    (2, cache::replication_status),
    (1, cache::memory_pressure),
    (1, cache::warming_event),
    (2, cache::health_status),
    (2, limits::connection_limit),
    (1, limits::connection_throttle),
    (4, limits::message_quota),
    (1, limits::burst_control),
    (1, limits::bandwidth_limit),
    (2, limits::concurrent_ops),
    (1, limits::adaptive_limit),
    (1, limits::fair_usage),
    (1, limits::ddos_protection),
    (1, limits::circuit_breaker),
    (1, limits::tier_limits),
    (1, limits::group_share),
    (2, limits::limit_warning),
    (1, limits::violation),
    (2, limits::metrics),
    (2, limits::health),
];

/// One envelope.
pub(super) fn envelope(random: &mut StdRng) -> Value {
    let chosen = EVENTS.choose_weighted(random, |(weight, _)| *weight);
    let (_, make) = chosen.expect("weights are above 0");
    make(&mut Scene {
        random,
        now: Timestamp::now(),
    })
}

/// The platform at one moment.
struct Scene<'a> {
    random: &'a mut StdRng,
    now: Timestamp,
}

impl Scene<'_> {
    fn user(&mut self) -> &'static str {
        self.pick(USERS)
    }

    fn session(&mut self) -> &'static str {
        self.pick(SESSIONS)
    }

    /// One of those who are in a session: each session has an athlete of its own.
    fn athlete(&mut self) -> usize {
        1 + self.random.random_range(0..SESSIONS.len())
    }

    /// Where something is that goes up and down within `seconds`, a little differently for each
    /// `who`: -1 to 1.
    fn wave(&self, seconds: u64, who: usize) -> f64 {
        let turns = self.now.as_millisecond() as f64 / 1_000.0 / seconds as f64;
        ((turns + who as f64 / 7.0) * TAU).sin()
    }

    fn uuid(&mut self) -> String {
        let uuid = Builder::from_random_bytes(self.random.random()).into_uuid();
        uuid.hyphenated().to_string()
    }

    /// So many minutes from now.
    fn time(&self, minutes: i64) -> String {
        format!("{:.3}", self.now + SignedDuration::from_mins(minutes))
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        *of.choose(self.random).expect("something to choose from")
    }

    /// A tenth less to a tenth more, and no share above the whole.
    fn about(&mut self, value: f64) -> f64 {
        let most = if value <= 1.0 { 1.0 } else { f64::MAX };
        let varied = value * self.random.random_range(0.9..1.1);
        (varied.min(most) * 1_000.0).round() / 1_000.0
    }

    /// A tenth less to a tenth more.
    fn count(&mut self, count: u64) -> u64 {
        let tenth = count / 10;
        self.random.random_range(count - tenth..=count + tenth)
    }

    /// Less than all.
    fn part(&mut self, of: u64) -> u64 {
        self.random.random_range(0..of)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fanfare::Config;
    use rand::SeedableRng;

    use super::*;
    use crate::platform::Platform;
    use crate::sportscenter::SportsCenter;

    fn stream(seed: u64, length: usize) -> Vec<Value> {
        let mut random = StdRng::seed_from_u64(seed);
        (0..length).map(|_| envelope(&mut random)).collect()
    }

    #[test]
    fn every_sample_is_a_valid_event_and_every_event_occurs() {
        let catalog = SportsCenter::catalog();
        let mut seen = BTreeSet::new();
        for envelope in stream(1, 20_000) {
            let read = catalog
                .read_from_server(envelope.to_string().as_bytes(), &Config::default().limits);
            assert!(read.is_ok(), "{envelope}: {read:?}");
            seen.insert(envelope["event"].as_str().unwrap().to_owned());
        }
        assert!(seen.iter().map(String::as_str).eq(catalog.names()));
        assert_eq!(EVENTS.len(), catalog.names().count());
    }

    #[test]
    fn a_seed_gives_the_same_stream_again() {
        let names = |seed| {
            let stream = stream(seed, 100).into_iter();
            let events = stream.map(|envelope| envelope["event"].clone());
            events.collect::<Vec<_>>()
        };
        assert_eq!(names(1), names(1));
        assert_ne!(names(1), names(2));
    }
}
