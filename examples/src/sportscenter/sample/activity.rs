//! What people and their devices do.

use serde_json::{Value, json};

use super::Scene;

const REMARKS: &[&str] = &[
    "Keep your elbow high",
    "Good rhythm, hold it",
    "Land softer on the left",
    "Two more like that",
];
const TEXTS: &[&str] = &[
    "See you at the track at six",
    "New plan is up",
    "How is the ankle?",
    "That was a strong finish!",
];

pub(super) fn metric_recorded(scene: &mut Scene<'_>) -> Value {
    let (kind, value, unit, period) = scene.pick(&[
        ("heart-rate", 148.0, "bpm", 70),
        ("speed", 24.5, "km/h", 45),
        ("power", 280.0, "W", 30),
        ("cadence", 172.0, "spm", 55),
    ]);
    let athlete = scene.athlete();
    let effort = 1.0 + 0.12 * scene.wave(period, athlete) + 0.3 * (scene.about(0.5) - 0.5);
    json!({"event": "metric:recorded", "data": {
        "athleteId": super::USERS[athlete],
        "timestamp": scene.time(0),
        "type": kind,
        "value": (value * effort * 10.0).round() / 10.0,
        "unit": unit,
        "source": scene.pick(&["device", "device", "device", "manual", "ai"]),
    }})
}

pub(super) fn session_status(scene: &mut Scene<'_>) -> Value {
    let athlete = scene.athlete();
    let location = ["Track 2", "Pool", "Weight room"][athlete - 1];
    json!({"event": "session:status", "data": {
        "sessionId": super::SESSIONS[athlete - 1],
        "timestamp": scene.time(0),
        "type": scene.pick(&["started", "resumed", "resumed", "resumed", "paused", "ended"]),
        "metadata": {
            "coachId": super::USERS[0],
            "athleteId": super::USERS[athlete],
            "location": location,
        },
    }})
}

pub(super) fn session_feedback(scene: &mut Scene<'_>) -> Value {
    json!({"event": "session:feedback", "data": {
        "sessionId": scene.session(),
        "timestamp": scene.time(0),
        "feedbackId": scene.uuid(),
        "type": scene.pick(&["technique", "performance", "general"]),
        "content": scene.pick(REMARKS),
        "from": {"id": super::USERS[0], "role": scene.pick(&["coach", "mentor"])},
    }})
}

pub(super) fn video_status(scene: &mut Scene<'_>) -> Value {
    json!({"event": "video:status", "data": {
        "videoId": scene.uuid(),
        "status": scene.pick(&["uploading", "uploading", "processing", "processing", "failed"]),
        "progress": scene.part(100),
    }})
}

pub(super) fn video_analysis(scene: &mut Scene<'_>) -> Value {
    json!({"event": "video:analysis", "data": {
        "videoId": scene.uuid(),
        "status": "analyzed",
        "analysis": {"techniques": [{
            "timestamp": scene.about(12.4),
            "type": scene.pick(&["start", "stride", "turn"]),
            "confidence": scene.about(0.9),
            "feedback": scene.pick(REMARKS),
        }]},
    }})
}

pub(super) fn goal_update(scene: &mut Scene<'_>) -> Value {
    let athlete = scene.athlete();
    let goal = scene.part(3);
    // Onwards by the clock, until a new season begins.
    let seconds = scene.now.as_second().unsigned_abs();
    let progress = (seconds / 2 + 37 * goal + 11 * athlete as u64) % 101;
    json!({"event": "goal:update", "data": {
        "athleteId": super::USERS[athlete],
        "goalId": format!("0192f6d2-5e6f-7a7b-8c8d-{athlete:04x}0000900{goal}"),
        "timestamp": scene.time(0),
        "type": if progress == 100 { "achieved" } else { "progress" },
        "progress": progress,
    }})
}

pub(super) fn message_new(scene: &mut Scene<'_>) -> Value {
    message(scene, "message:new")
}

pub(super) fn message_updated(scene: &mut Scene<'_>) -> Value {
    message(scene, "message:updated")
}

pub(super) fn message_deleted(scene: &mut Scene<'_>) -> Value {
    message(scene, "message:deleted")
}

/// Between the coach and one of those who train.
fn message(scene: &mut Scene<'_>, event: &str) -> Value {
    let coach = json!({"id": super::USERS[0], "role": "coach"});
    let athlete = json!({"id": scene.pick(&super::USERS[1..]), "role": "athlete"});
    let (from, to) = if scene.pick(&[true, false]) {
        (coach, athlete)
    } else {
        (athlete, coach)
    };
    json!({"event": event, "data": {
        "messageId": scene.uuid(),
        "timestamp": scene.time(0),
        "from": from,
        "to": to,
        "content": scene.pick(TEXTS),
        "type": scene.pick(&["text", "text", "text", "image", "video"]),
    }})
}

pub(super) fn notification_new(scene: &mut Scene<'_>) -> Value {
    let (kind, title, message) = scene.pick(&[
        (
            "info",
            "Training moved",
            "Tonight starts half an hour later",
        ),
        ("success", "Goal reached", "The club ran 1,000 km this week"),
        ("alert", "Thunderstorm", "The track is closed until four"),
    ]);
    json!({"event": "notification:new", "data": {
        "id": scene.uuid(),
        "timestamp": scene.time(0),
        "type": kind,
        "title": title,
        "message": message,
        "action": {"type": "open", "payload": {"path": "/calendar"}},
    }})
}

pub(super) fn community_activity(scene: &mut Scene<'_>) -> Value {
    json!({"event": "community:activity", "data": {
        "type": scene.pick(&["post", "comment", "comment", "reaction", "reaction"]),
        "timestamp": scene.time(0),
        "content": {
            "id": scene.uuid(),
            "type": "discussion",
            "data": {"text": scene.pick(TEXTS)},
        },
        "user": {"id": scene.user(), "role": "athlete"},
    }})
}
