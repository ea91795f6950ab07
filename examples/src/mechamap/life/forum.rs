//! The threads.

use std::collections::{BTreeMap, VecDeque};

use serde_json::json;

use super::people::Person;
use crate::demo::Scene;

pub(super) const TITLES: [&str; 5] = [
    "Sheet metal bend allowances",
    "Which CAM for five axes?",
    "Gear backlash in small printers",
    "Tolerance stacks, step by step",
    "Cheap linear rails, tested",
];
pub(super) const REMARKS: &[&str] = &[
    "K-factor of 0.44 worked for 2 mm aluminium.",
    "Did you check the thermal expansion?",
    "Great write-up, thank you!",
    "Use a dial indicator and measure twice.",
    "I would go with a helical pair here.",
    "Attached my drawing for comparison.",
    "Same here, a stiffer frame cured it.",
    "What feed rate was that with?",
    "Preload the nut, that takes most of it out.",
    "Mine warped until I clamped it at both ends.",
    "The datum is on the wrong face, I think.",
    "Has anyone tried this in stainless?",
];
const REACTIONS: &[&str] = &["like", "insightful", "thanks"];
/// People react to comments that are not older.
const RECENT: usize = 8;

/// Every thread.
#[derive(Debug)]
pub(super) struct Forum {
    threads: [Thread; TITLES.len()],
    /// How many comments there ever were.
    comments: u64,
}

/// One of them, which only grows.
#[derive(Debug)]
struct Thread {
    /// From 1 on.
    id: u64,
    views: u64,
    replies: u64,
    /// The newest is the last.
    recent: VecDeque<Comment>,
    /// Who has begun to write.
    writer: Option<Person>,
}

#[derive(Debug)]
struct Comment {
    id: u64,
    remark: &'static str,
    reactions: BTreeMap<&'static str, u64>,
}

impl Default for Forum {
    fn default() -> Self {
        Self {
            threads: std::array::from_fn(|at| {
                let id = at as u64 + 1;
                Thread {
                    id,
                    views: 1_931 * id,
                    replies: 7 * id,
                    recent: VecDeque::new(),
                    writer: None,
                }
            }),
            comments: 7 * 15,
        }
    }
}

impl Forum {
    pub(super) fn turn(&mut self, scene: &mut Scene) {
        let at = scene.place(TITLES.len());
        match scene.number(0..73) {
            0..30 => self.threads[at].view(scene),
            30..48 => self.threads[at].comment(scene, &mut self.comments),
            48..60 => self.threads[at].begin_to_write(scene),
            60..70 => self.threads[at].react(scene),
            _ => self.threads[at].edit(scene),
        }
    }

    /// Someone comments somewhere: in which thread, and what.
    pub(super) fn comment(&mut self, scene: &mut Scene) -> (u64, &'static str) {
        let thread = &mut self.threads[scene.place(TITLES.len())];
        thread.comment(scene, &mut self.comments);
        let remark = thread.recent.back().map_or("", |comment| comment.remark);
        (thread.id, remark)
    }
}

impl Thread {
    fn channel(&self) -> String {
        format!("thread.{}", self.id)
    }

    fn view(&mut self, scene: &mut Scene) {
        self.views += scene.number(1..6);
        scene.tell(json!({
            "event": "forum.thread.view_count_updated", "channel": self.channel(),
            "data": {"thread_id": self.id, "view_count": self.views}
        }));
    }

    /// By the one who began to write, if anyone did.
    fn comment(&mut self, scene: &mut Scene, comments: &mut u64) {
        let person = self.writer.take().unwrap_or_else(|| Person::any(scene));
        *comments += 1;
        self.replies += 1;
        let remark = self.remark(scene);
        let now = scene.at(0);
        scene.tell(json!({"event": "forum.comment.created", "data": {
            "comment": {
                "id": *comments, "content": remark, "parent_id": null, "created_at": now,
                "user": {
                    "id": person.id, "name": person.name,
                    "username": person.name.replace(' ', "").to_lowercase(), "avatar_url": person.avatar_url()
                }
            },
            "thread": {
                "id": self.id, "title": TITLES[self.id as usize - 1], "reply_count": self.replies
            }
        }}));
        self.recent.push_back(Comment {
            id: *comments,
            remark,
            reactions: BTreeMap::new(),
        });
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// None that was made here a moment ago: there are more of them than recent comments.
    fn remark(&self, scene: &mut Scene) -> &'static str {
        let recent = self.recent.iter().map(|comment| comment.remark);
        let recent = recent.collect::<Vec<_>>();
        let fresh = REMARKS.iter().filter(|remark| !recent.contains(remark));
        scene.pick(&fresh.copied().collect::<Vec<_>>())
    }

    fn begin_to_write(&mut self, scene: &mut Scene) {
        let person = *self.writer.insert(Person::any(scene));
        let soon = scene.at(10);
        scene.tell(
            json!({"event": "forum.typing.started", "channel": self.channel(), "data": {
                "user": {"id": person.id, "name": person.name}, "expires_at": soon
            }}),
        );
    }

    fn react(&mut self, scene: &mut Scene) {
        let channel = self.channel();
        if self.recent.is_empty() {
            return;
        }
        let at = scene.place(self.recent.len());
        let (person, kind) = (Person::any(scene), scene.pick(REACTIONS));
        let comment = &mut self.recent[at];
        let count = comment.reactions.entry(kind).or_default();
        *count += 1;
        scene.tell(json!({"event": "forum.reaction.added", "channel": channel, "data": {
            "comment_id": comment.id, "reaction_type": kind, "user_id": person.id, "new_count": *count
        }}));
    }

    fn edit(&mut self, scene: &mut Scene) {
        let channel = self.channel();
        if self.recent.is_empty() {
            return;
        }
        let at = scene.place(self.recent.len());
        let remark = self.remark(scene);
        let comment = &mut self.recent[at];
        comment.remark = remark;
        let now = scene.at(0);
        scene.tell(json!({"event": "forum.comment.updated", "channel": channel, "data": {
            "comment_id": comment.id, "content": remark, "edited_at": now, "edit_reason": "Fixed a unit"
        }}));
    }
}
