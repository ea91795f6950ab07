//! Mentors: what they find, and when they have time.

use serde_json::{Value, json};

use super::{MENTOR, Scene};

/// Assessments that are not put away.
#[derive(Debug, Default)]
pub(super) struct Assessments(Vec<Assessment>);

#[derive(Debug)]
struct Assessment {
    id: String,
    is_published: bool,
}

impl Assessments {
    /// How many there are at most.
    const OPEN: usize = 4;

    /// One is begun, published, or put away.
    pub(super) fn status(&mut self, scene: &mut Scene<'_>) {
        if self.0.is_empty() || (self.0.len() < Self::OPEN && scene.chance(40)) {
            self.0.push(Assessment {
                id: scene.uuid(),
                is_published: false,
            });
            return self.tell_status(self.0.len() - 1, "draft", scene);
        }
        let at = scene.place(self.0.len());
        if self.0[at].is_published {
            self.tell_status(at, "archived", scene);
            self.0.swap_remove(at);
        } else {
            self.0[at].is_published = true;
            self.tell_status(at, "published", scene);
        }
    }

    pub(super) fn measure(&mut self, scene: &mut Scene<'_>) {
        let Some(id) = self.any(scene) else {
            return;
        };
        let (name, usual) = scene.pick(&[
            ("sprint-30m", 4.3),
            ("vo2-max", 54.0),
            ("reaction-time", 0.19),
        ]);
        let data = json!({
            "assessment-id": id,
            "metric": {"name": name, "value": scene.about(usual), "benchmark": usual},
        });
        scene.tell("mentor-assessment/metric-updated", data);
    }

    pub(super) fn plan(&mut self, scene: &mut Scene<'_>) {
        let Some(id) = self.any(scene) else {
            return;
        };
        let data = json!({
            "assessment-id": id,
            "plan": {
                "goals": [scene.pick(&["Break 24 s over 200 m", "Two pain-free weeks"])],
                "action-items": [{
                    "description": scene.pick(&["Two starts sessions a week", "Sleep diary", "Video review on Fridays"]),
                    "priority": scene.pick(&["high", "medium", "low"]),
                }],
            },
        });
        scene.tell("mentor-assessment/plan-updated", data);
    }

    fn any(&self, scene: &mut Scene<'_>) -> Option<String> {
        let at = (!self.0.is_empty()).then(|| scene.place(self.0.len()))?;
        Some(self.0[at].id.clone())
    }

    fn tell_status(&self, at: usize, status: &str, scene: &mut Scene<'_>) {
        let data = json!({
            "assessment-id": self.0[at].id, "status": status, "timestamp": scene.time(0)
        });
        scene.tell("mentor-assessment/status-changed", data);
    }
}

pub(super) fn availability_changed(scene: &mut Scene<'_>) -> Value {
    json!({"event": "mentor/availability-changed", "data": {
        "mentor-id": MENTOR,
        "availability": {
            "time-zone": scene.pick(&["Europe/Berlin", "Asia/Ho_Chi_Minh", "America/New_York"]),
            "schedule": [{
                "day": scene.pick(&["monday", "wednesday", "friday"]),
                "slots": [{
                    "start": "09:00",
                    "end": "10:30",
                }],
            }],
        },
    }})
}

pub(super) fn session_booked(scene: &mut Scene<'_>) -> Value {
    json!({"event": "mentor/session-booked", "data": {
        "mentor-id": MENTOR,
        "session": {
            "id": scene.uuid(),
            "athlete-id": scene.athlete(),
            "type": scene.pick(&["review", "guidance", "assessment"]),
            "scheduled-time": {
                "start": scene.time(30),
                "end": scene.time(90),
            },
        },
    }})
}
