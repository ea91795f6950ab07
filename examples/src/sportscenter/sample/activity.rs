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
    let (kind, value, unit) = scene.pick(&[
        ("heart-rate", 148.0, "bpm"),
        ("speed", 24.5, "km/h"),
        ("power", 280.0, "W"),
        ("cadence", 172.0, "spm"),
    ]);
    json!({"event": "metric:recorded", "data": {
        "athleteId": scene.user(),
        "timestamp": scene.time(0),
        "type": kind,
        "value": scene.about(value),
        "unit": unit,
        "source": scene.pick(&["device", "device", "device", "manual", "ai"]),
    }})
}

pub(super) fn session_status(scene: &mut Scene<'_>) -> Value {
    json!({"event": "session:status", "data": {
        "sessionId": scene.session(),
        "timestamp": scene.time(0),
        "type": scene.pick(&["started", "ended", "paused", "resumed"]),
        "metadata": {
            "coachId": super::USERS[0],
            "athleteId": scene.user(),
            "location": scene.pick(&["Track 2", "Pool", "Weight room"]),
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
    let progress = scene.part(101);
    json!({"event": "goal:update", "data": {
        "athleteId": scene.user(),
        "goalId": scene.uuid(),
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
