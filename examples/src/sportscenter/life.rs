//! What SportsCenter's backend might publish: one club for ever, in lifelike proportions.

mod activity;
mod analytics;
mod cache;
mod goals;
mod limits;
mod mentors;
mod messages;
mod sessions;
#[cfg(test)]
mod tests;
mod videos;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use uuid::Builder;

use self::goals::Goals;
use self::mentors::Assessments;
use self::messages::Messages;
use self::sessions::Sessions;
use self::videos::Videos;
use crate::demo;

/// Who the demo's own token is for.
pub(super) const DEMO_USER: &str = COACH;

/// A small club, and what each is in it.
const MEMBERS: [(&str, &str); 6] = [
    (COACH, "coach"),
    (ATHLETES[0], "athlete"),
    (ATHLETES[1], "athlete"),
    (ATHLETES[2], "athlete"),
    (MENTOR, "mentor"),
    ("0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a65", "parent"),
];
const COACH: &str = "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a60";
const ATHLETES: [&str; 3] = [
    "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a61",
    "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a62",
    "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a63",
];
const MENTOR: &str = "0192f6d0-7c1e-7b3a-9f55-3f1d2c4b5a64";
const REMARKS: &[&str] = &[
    "Keep your elbow high",
    "Good rhythm, hold it",
    "Land softer on the left",
    "Two more like that",
    "Breathe out on the way up",
    "Look ahead, not down",
    "Quicker off the wall",
    "Relax the shoulders",
];

/// What the club is at.
#[derive(Debug, Default)]
struct Club {
    sessions: Sessions,
    videos: Videos,
    goals: Goals,
    messages: Messages,
    assessments: Assessments,
}

/// What may happen.
#[derive(Clone, Copy)]
enum Turn {
    /// By chance, whatever happened before.
    Chance(fn(&mut Scene<'_>) -> Value),
    /// As the club is.
    Story(fn(&mut Club, &mut Scene<'_>)),
}
use Turn::{Chance, Story};

/// How often each happens, relative to the others. Sensors outweigh people, people what is counted of
/// them, and that what the platform tells itself.
const TURNS: &[(u32, Turn)] = &[
    (300, Story(|club, scene| club.sessions.measure(scene))),
    (40, Story(|club, scene| club.sessions.status(scene))),
    (90, Story(|club, scene| club.sessions.feedback(scene))),
    (80, Story(|club, scene| club.videos.turn(scene))),
    (40, Story(|club, scene| club.goals.turn(scene))),
    (80, Story(|club, scene| club.messages.write(scene))),
    (8, Story(|club, scene| club.messages.change(scene))),
    (4, Story(|club, scene| club.messages.take_back(scene))),
    (40, Chance(activity::notification_new)),
    (60, Chance(activity::community_activity)),
    (10, Story(|club, scene| club.sessions.note(scene))),
    (3, Story(|club, scene| club.sessions.rate(scene))),
    (6, Story(|club, scene| club.assessments.status(scene))),
    (6, Story(|club, scene| club.assessments.measure(scene))),
    (3, Story(|club, scene| club.assessments.plan(scene))),
    (3, Chance(mentors::availability_changed)),
    (4, Chance(mentors::session_booked)),
    (40, Chance(analytics::performance_metric)),
    (8, Chance(analytics::trend_update)),
    (4, Chance(analytics::milestone_achieved)),
    (12, Chance(analytics::session_engagement)),
    (20, Chance(analytics::platform_usage)),
    (15, Chance(analytics::content_engagement)),
    (10, Chance(analytics::community_engagement)),
    (3, Chance(analytics::collaboration_metrics)),
    (2, Chance(analytics::subscription_metric)),
    (6, Chance(analytics::feature_usage)),
    (8, Chance(analytics::system_performance)),
    (2, Chance(analytics::error_event)),
    (20, Chance(cache::entity_invalidated)),
    (2, Chance(cache::bulk_entities_invalidated)),
    (3, Chance(cache::relationship_invalidated)),
    (4, Chance(cache::pattern_invalidated)),
    (3, Chance(cache::tags_invalidated)),
    (1, Chance(cache::time_window_invalidated)),
    (1, Chance(cache::schedule_invalidation)),
    (8, Chance(cache::realtime_metrics_sync)),
    (8, Chance(cache::live_session_sync)),
    (4, Chance(cache::version_vector_update)),
    (1, Chance(cache::conflict_detected)),
    (2, Chance(cache::replication_status)),
    (1, Chance(cache::memory_pressure)),
    (1, Chance(cache::warming_event)),
    (2, Chance(cache::health_status)),
    (2, Chance(limits::connection_limit)),
    (1, Chance(limits::connection_throttle)),
    (4, Chance(limits::message_quota)),
    (1, Chance(limits::burst_control)),
    (1, Chance(limits::bandwidth_limit)),
    (2, Chance(limits::concurrent_ops)),
    (1, Chance(limits::adaptive_limit)),
    (1, Chance(limits::fair_usage)),
    (1, Chance(limits::ddos_protection)),
    (1, Chance(limits::circuit_breaker)),
    (1, Chance(limits::tier_limits)),
    (1, Chance(limits::group_share)),
    (2, Chance(limits::limit_warning)),
    (1, Chance(limits::violation)),
    (2, Chance(limits::metrics)),
    (2, Chance(limits::health)),
];

pub(super) fn life(random: StdRng) -> impl Iterator<Item = Value> + Send + 'static {
    let mut club = Club::default();
    demo::Scene::play(random, move |play| {
        let session = club.sessions.any(play);
        let chosen = TURNS.choose_weighted(&mut play.random, |(weight, _)| *weight);
        let (_, turn) = *chosen.expect("weights are above 0");
        let mut scene = Scene { play, session };
        match turn {
            Chance(make) => {
                let envelope = make(&mut scene);
                scene.play.tell(envelope);
            }
            Story(turn) => turn(&mut club, &mut scene),
        }
    })
}

/// The platform at one moment.
struct Scene<'a> {
    play: &'a mut demo::Scene,
    /// One that is on, or will be.
    session: String,
}

impl Scene<'_> {
    fn tell(&mut self, event: &str, data: Value) {
        let mut envelope = json!({"event": event});
        envelope["data"] = data;
        self.play.tell(envelope);
    }

    fn user(&mut self) -> &'static str {
        self.pick(&MEMBERS).0
    }

    fn athlete(&mut self) -> &'static str {
        self.pick(&ATHLETES)
    }

    fn session(&self) -> &str {
        &self.session
    }

    fn uuid(&mut self) -> String {
        let uuid = Builder::from_random_bytes(self.play.random.random()).into_uuid();
        uuid.hyphenated().to_string()
    }

    /// So many minutes from now.
    fn time(&self, minutes: i64) -> String {
        self.play.at(60 * minutes)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        self.play.pick(of)
    }

    fn place(&mut self, length: usize) -> usize {
        self.play.place(length)
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.play.chance(percent)
    }

    /// Another of them than `last`, which it becomes.
    fn next<T: Copy>(&mut self, of: &[T], last: &mut usize) -> T {
        *last = (*last + 1 + self.place(of.len() - 1)) % of.len();
        of[*last]
    }

    /// A tenth less to a tenth more, and no share above the whole.
    fn about(&mut self, value: f64) -> f64 {
        let most = if value <= 1.0 { 1.0 } else { f64::MAX };
        let varied = value * self.play.random.random_range(0.9..1.1);
        (varied.min(most) * 1_000.0).round() / 1_000.0
    }

    /// A tenth less to a tenth more.
    fn count(&mut self, count: u64) -> u64 {
        let tenth = count / 10;
        self.play.number(count - tenth..count + tenth + 1)
    }

    /// Less than all.
    fn part(&mut self, of: u64) -> u64 {
        self.play.number(0..of)
    }
}

/// How a node is, which caches and limits say in the same words but for the worst of them.
fn node_health(event: &str, worst: &str, scene: &mut Scene<'_>) -> Value {
    json!({"event": event, "data": {
        "node-id": scene.pick(&["node-eu-1", "node-eu-2", "node-us-1"]),
        "status": scene.pick(&["healthy", "degraded", worst]),
        "metrics": {
            "memory-usage": scene.about(75.5),
            "cpu-usage": scene.about(65.2),
            "network-saturation": scene.about(45.8),
        },
        "rate-limit-store": {
            "type": scene.pick(&["redis", "memory"]),
            "status": "connected",
            "latency": 5,
        },
    }})
}
