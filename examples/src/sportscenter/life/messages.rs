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
    "The video of your turn is up",
    "I will be ten minutes late",
    "Rest today, please",
    "Thanks, that helped",
];
/// Nobody changes what is older.
const RECENT: usize = 6;

/// What was written, and not taken back.
#[derive(Debug, Default)]
pub(super) struct Messages(VecDeque<Value>);

impl Messages {
    pub(super) fn write(&mut self, scene: &mut Scene<'_>) {
        let coach = json!({"id": COACH, "role": "coach"});
        let athlete = json!({"id": scene.pick(&ATHLETES), "role": "athlete"});
        let (from, to) = if scene.chance(50) {
            (coach, athlete)
        } else {
            (athlete, coach)
        };
        let content = self.text(scene);
        let message = json!({
            "messageId": scene.uuid(),
            "timestamp": scene.time(0),
            "from": from,
            "to": to,
            "content": content,
            "type": scene.pick(&["text", "text", "text", "image", "video"]),
        });
        scene.tell("message:new", message.clone());
        self.0.push_back(message);
        if self.0.len() > RECENT {
            self.0.pop_front();
        }
    }

    /// Its author changes one.
    pub(super) fn change(&mut self, scene: &mut Scene<'_>) {
        if self.0.is_empty() {
            return;
        }
        let at = scene.place(self.0.len());
        let content = self.text(scene);
        let message = &mut self.0[at];
        message["content"] = content.into();
        message["timestamp"] = scene.time(0).into();
        scene.tell("message:updated", message.clone());
    }

    /// None that was written a moment ago: there are more of them than recent messages.
    fn text(&self, scene: &mut Scene<'_>) -> &'static str {
        let is_fresh = |text: &&&str| self.0.iter().all(|recent| recent["content"] != **text);
        let fresh = TEXTS.iter().filter(is_fresh).copied();
        scene.pick(&fresh.collect::<Vec<_>>())
    }

    /// Its author takes one back.
    pub(super) fn take_back(&mut self, scene: &mut Scene<'_>) {
        if self.0.is_empty() {
            return;
        }
        let at = scene.place(self.0.len());
        if let Some(mut message) = self.0.remove(at) {
            message["timestamp"] = scene.time(0).into();
            scene.tell("message:deleted", message);
        }
    }
}
