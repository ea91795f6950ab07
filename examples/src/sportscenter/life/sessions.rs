//! Training sessions and the mentor's view of them: begun, paused, resumed, ended, and then the next.

use serde_json::{Value, json};

use super::{ATHLETES, COACH, MENTOR, REMARKS, Scene};
use crate::demo;

const LOCATIONS: [&str; ATHLETES.len()] = ["Track 2", "Pool", "Weight room"];
/// What is measured: the kind, what is usual, the unit, and how fast it goes up and down.
const METRICS: [(&str, f64, &str, f64); 4] = [
    ("heart-rate", 148.0, "bpm", 0.11),
    ("speed", 24.5, "km/h", 0.17),
    ("power", 280.0, "W", 0.23),
    ("cadence", 172.0, "spm", 0.14),
];

/// One session of each athlete.
#[derive(Debug)]
pub(super) struct Sessions([Session; ATHLETES.len()]);

#[derive(Debug)]
struct Session {
    id: String,
    stage: Stage,
    /// Where each metric is in its going up and down.
    phases: [f64; METRICS.len()],
    /// What was said last, as a place in [`REMARKS`].
    said: usize,
    /// The one before, once there was one.
    last: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Planned,
    Running,
    Paused,
}

impl Default for Sessions {
    fn default() -> Self {
        Self(std::array::from_fn(|at| Session {
            id: format!("0192f6d1-1a2b-7c3d-8e4f-5a6b7c8d9e0{}", at + 1),
            stage: Stage::Planned,
            phases: std::array::from_fn(|metric| (at + metric) as f64),
            said: at,
            last: None,
        }))
    }
}

impl Sessions {
    /// The id of one that is on, or will be.
    pub(super) fn any(&self, play: &mut demo::Scene) -> String {
        self.0[play.place(ATHLETES.len())].id.clone()
    }

    /// One goes on to its next stage, mostly one that rests.
    pub(super) fn status(&mut self, scene: &mut Scene<'_>) {
        let resting = self.places(|stage| stage != Stage::Running);
        let at = if !resting.is_empty() && scene.chance(60) {
            scene.pick(&resting)
        } else {
            scene.place(ATHLETES.len())
        };
        self.go_on(at, scene);
    }

    /// What a device says, of someone who trains.
    pub(super) fn measure(&mut self, scene: &mut Scene<'_>) {
        let Some(at) = self.running(scene) else {
            return;
        };
        let metric = scene.place(METRICS.len());
        let (kind, usual, unit, pace) = METRICS[metric];
        let phase = &mut self.0[at].phases[metric];
        *phase += pace;
        let effort = 1.0 + 0.12 * phase.sin() + 0.1 * (scene.about(0.5) - 0.5);
        let source = scene.pick(&["device", "device", "device", "manual", "ai"]);
        let data = json!({
            "athleteId": ATHLETES[at],
            "timestamp": scene.time(0),
            "type": kind,
            "value": (usual * effort * 10.0).round() / 10.0,
            "unit": unit,
            "source": source,
        });
        scene.tell("metric:recorded", data);
    }

    /// The coach or the mentor says something to someone who trains.
    pub(super) fn feedback(&mut self, scene: &mut Scene<'_>) {
        let Some(at) = self.running(scene) else {
            return;
        };
        let (by, role) = scene.pick(&[(COACH, "coach"), (COACH, "coach"), (MENTOR, "mentor")]);
        let data = json!({
            "sessionId": self.0[at].id,
            "timestamp": scene.time(0),
            "feedbackId": scene.uuid(),
            "type": scene.pick(&["technique", "performance", "general"]),
            "content": scene.next(REMARKS, &mut self.0[at].said),
            "from": {"id": by, "role": role},
        });
        scene.tell("session:feedback", data);
    }

    /// The mentor writes something down.
    pub(super) fn note(&mut self, scene: &mut Scene<'_>) {
        let Some(at) = self.running(scene) else {
            return;
        };
        let (content, category) = scene.pick(&[
            ("Keeps the elbow high through the turn", "technique"),
            ("Breathing settled after the second set", "mindset"),
            ("Wants more work on starts", "planning"),
        ]);
        let data = json!({
            "session-id": self.0[at].id,
            "note": {"content": content, "category": category, "timestamp": scene.time(0)},
        });
        scene.tell("mentor-session/note-added", data);
    }

    /// How a session was that is over.
    pub(super) fn rate(&mut self, scene: &mut Scene<'_>) {
        let at = scene.place(ATHLETES.len());
        let Some(last) = self.0[at].last.take() else {
            return;
        };
        let (by, rating, comments) = scene.pick(&[
            ("athlete", 5, "Clear goals, good pace"),
            ("athlete", 3, "A little too theoretical"),
            ("mentor", 4, "Listens, and tries things at once"),
        ]);
        let data = json!({
            "session-id": last,
            "feedback-type": by,
            "feedback": {"rating": rating, "comments": comments},
        });
        scene.tell("mentor-session/feedback-submitted", data);
    }

    /// Where someone trains; where nobody does, a session begins or goes on, and there is none yet.
    fn running(&mut self, scene: &mut Scene<'_>) -> Option<usize> {
        let running = self.places(|stage| stage == Stage::Running);
        if running.is_empty() {
            self.status(scene);
            return None;
        }
        Some(scene.pick(&running))
    }

    fn places(&self, wanted: impl Fn(Stage) -> bool) -> Vec<usize> {
        let places = (0..ATHLETES.len()).filter(|at| wanted(self.0[*at].stage));
        places.collect()
    }

    fn go_on(&mut self, at: usize, scene: &mut Scene<'_>) {
        let session = &mut self.0[at];
        let (stage, change) = match session.stage {
            Stage::Planned => (Stage::Running, "started"),
            Stage::Paused => (Stage::Running, "resumed"),
            Stage::Running if scene.chance(75) => (Stage::Paused, "paused"),
            Stage::Running => (Stage::Planned, "ended"),
        };
        session.stage = stage;
        let data = json!({
            "sessionId": session.id,
            "timestamp": scene.time(0),
            "type": change,
            "metadata": {"coachId": COACH, "athleteId": ATHLETES[at], "location": LOCATIONS[at]},
        });
        scene.tell("session:status", data);
        let status = match change {
            "started" => "in-progress",
            "ended" if scene.chance(85) => "completed",
            "ended" => "cancelled",
            _ => return,
        };
        scene.tell(
            "mentor-session/status-changed",
            self.mentoring(at, status, scene),
        );
        if change == "ended" {
            let next = scene.uuid();
            let session = &mut self.0[at];
            session.last = Some(std::mem::replace(&mut session.id, next));
        }
    }

    fn mentoring(&self, at: usize, status: &str, scene: &Scene<'_>) -> Value {
        json!({"session-id": self.0[at].id, "status": status, "timestamp": scene.time(0)})
    }
}
