//! What goes on beside the training.

use serde_json::{Value, json};

use super::messages::TEXTS;
use super::{MEMBERS, Scene};

pub(super) fn notification_new(scene: &mut Scene<'_>) -> Value {
    let (kind, title, message) = scene.pick(&[
        (
            "info",
            "Training moved",
            "Tonight starts half an hour later",
        ),
        (
            "success",
            "Well done",
            "The club has a new record in the relay",
        ),
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
    let (user, role) = scene.pick(&MEMBERS);
    json!({"event": "community:activity", "data": {
        "type": scene.pick(&["post", "comment", "comment", "reaction", "reaction"]),
        "timestamp": scene.time(0),
        "content": {
            "id": scene.uuid(),
            "type": "discussion",
            "data": {"text": scene.pick(TEXTS)},
        },
        "user": {"id": user, "role": role},
    }})
}
