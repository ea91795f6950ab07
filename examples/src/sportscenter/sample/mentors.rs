//! Events of mentors.

use serde_json::{Value, json};

use super::Scene;

pub(super) fn session_status_changed(scene: &mut Scene<'_>) -> Value {
    json!({"event": "mentor-session/status-changed", "data": {
        "session-id": scene.session(),
        "status": scene.pick(&["in-progress", "completed", "cancelled"]),
        "timestamp": scene.time(0),
    }})
}

pub(super) fn note_added(scene: &mut Scene<'_>) -> Value {
    json!({"event": "mentor-session/note-added", "data": {
        "session-id": scene.session(),
        "note": {
            "content": scene.pick(&["Keeps the elbow high through the turn", "Breathing settled after the second set", "Wants more work on starts"]),
            "category": scene.pick(&["technique", "mindset", "planning"]),
            "timestamp": scene.time(0),
        },
    }})
}

pub(super) fn feedback_submitted(scene: &mut Scene<'_>) -> Value {
    json!({"event": "mentor-session/feedback-submitted", "data": {
        "session-id": scene.session(),
        "feedback-type": scene.pick(&["athlete", "mentor"]),
        "feedback": {
            "rating": scene.pick(&[3, 4, 5]),
            "comments": scene.pick(&["Clear goals, good pace", "A little too theoretical", "Helped me with my starts"]),
        },
    }})
}

pub(super) fn assessment_status_changed(scene: &mut Scene<'_>) -> Value {
    json!({"event": "mentor-assessment/status-changed", "data": {
        "assessment-id": scene.uuid(),
        "status": scene.pick(&["draft", "published", "archived"]),
        "timestamp": scene.time(0),
    }})
}

pub(super) fn metric_updated(scene: &mut Scene<'_>) -> Value {
    json!({"event": "mentor-assessment/metric-updated", "data": {
        "assessment-id": scene.uuid(),
        "metric": {
            "name": scene.pick(&["sprint-30m", "vo2-max", "reaction-time"]),
            "value": scene.about(85.5),
            "benchmark": scene.about(80.0),
        },
    }})
}

pub(super) fn plan_updated(scene: &mut Scene<'_>) -> Value {
    json!({"event": "mentor-assessment/plan-updated", "data": {
        "assessment-id": scene.uuid(),
        "plan": {
            "goals": [scene.pick(&["Break 24 s over 200 m", "Two pain-free weeks"])],
            "action-items": [{
                "description": scene.pick(&["Two starts sessions a week", "Sleep diary", "Video review on Fridays"]),
                "priority": scene.pick(&["high", "medium", "low"]),
            }],
        },
    }})
}

pub(super) fn availability_changed(scene: &mut Scene<'_>) -> Value {
    json!({"event": "mentor/availability-changed", "data": {
        "mentor-id": scene.user(),
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
        "mentor-id": scene.user(),
        "session": {
            "id": scene.uuid(),
            "athlete-id": scene.user(),
            "type": scene.pick(&["review", "guidance", "assessment"]),
            "scheduled-time": {
                "start": scene.time(30),
                "end": scene.time(90),
            },
        },
    }})
}
