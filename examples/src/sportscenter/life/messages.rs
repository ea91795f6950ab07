//! What the coach and those who train write to each other.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::{ATHLETES, COACH, Scene};

pub(super) const TEXTS: &[&str] = &[
    "See you at the track at six",
    "New plan is up",
    "How is the ankle?",
    "That was a strong finish!",
    "Can we start half an hour later?",
    "Bring the spikes tomorrow",
];
/// Nobody changes what is older.
const RECENT: usize = 6;

/// What was written, and not taken back.
#[derive(Debug, Default)]
pub(super) struct Messages {
    recent: VecDeque<Value>,
    /// What was said last, as a place in [`TEXTS`].
    said: usize,
}

impl Messages {
    pub(super) fn write(&mut self, scene: &mut Scene<'_>) {
        let coach = json!({"id": COACH, "role": "coach"});
        let athlete = json!({"id": scene.pick(&ATHLETES), "role": "athlete"});
        let (from, to) = if scene.chance(50) {
            (coach, athlete)
        } else {
            (athlete, coach)
        };
        let message = json!({
            "messageId": scene.uuid(),
            "timestamp": scene.time(0),
            "from": from,
            "to": to,
            "content": scene.next(TEXTS, &mut self.said),
            "type": scene.pick(&["text", "text", "text", "image", "video"]),
        });
        scene.tell("message:new", message.clone());
        self.recent.push_back(message);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// Its author changes one.
    pub(super) fn change(&mut self, scene: &mut Scene<'_>) {
        if self.recent.is_empty() {
            return;
        }
        let at = scene.place(self.recent.len());
        let message = &mut self.recent[at];
        let content = scene.next(TEXTS, &mut self.said);
        message["content"] = content.into();
        message["timestamp"] = scene.time(0).into();
        scene.tell("message:updated", message.clone());
    }

    /// Its author takes one back.
    pub(super) fn take_back(&mut self, scene: &mut Scene<'_>) {
        if self.recent.is_empty() {
            return;
        }
        let at = scene.place(self.recent.len());
        if let Some(mut message) = self.recent.remove(at) {
            message["timestamp"] = scene.time(0).into();
            scene.tell("message:deleted", message);
        }
    }
}
