//! Who they are, and what they do beside the forum and the shop.

use serde_json::json;

use super::forum::{Forum, REMARKS, TITLES};
use crate::demo::Scene;

const NAMES: [&str; 6] = [
    "Linh Tran",
    "Minh Nguyen",
    "Anna Weber",
    "John Doe",
    "Yuki Sato",
    "Sofia Rossi",
];
const STATUSES: [&str; 3] = ["online", "away", "offline"];

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Person {
    pub(super) id: u64,
    pub(super) name: &'static str,
}

impl Person {
    pub(super) fn any(scene: &mut Scene) -> Self {
        Self::at(scene.place(NAMES.len()))
    }

    fn at(place: usize) -> Self {
        Self {
            id: place as u64 + 1,
            name: NAMES[place],
        }
    }

    pub(super) fn avatar_url(self) -> String {
        format!("https://mechamap.example/avatars/{}.png", self.id)
    }
}

/// What is known of everyone: whether there, and how much is unread.
#[derive(Debug, Default)]
pub(super) struct People {
    /// Places in [`STATUSES`].
    statuses: [usize; NAMES.len()],
    unread: [u64; NAMES.len()],
    /// The projects' views and likes.
    shown: [(u64, u64); TITLES.len()],
    /// How many messages, notifications and alerts there were.
    count: u64,
}

impl People {
    pub(super) fn turn(&mut self, scene: &mut Scene, forum: &mut Forum) {
        self.count += 1;
        match scene.number(0..14) {
            0..3 => self.write(scene),
            3..6 => self.notify(scene, forum),
            6..8 => self.come_or_go(scene),
            8..10 => feed(scene),
            10 | 11 => show_project(scene),
            12 => self.look_at_project(scene),
            _ => self.announce(scene),
        }
    }

    /// Two people have one conversation.
    fn write(&self, scene: &mut Scene) {
        let to = Person::any(scene);
        let from = Person::at((to.id as usize + scene.place(NAMES.len() - 1)) % NAMES.len());
        let conversation = 10 * from.id.min(to.id) + from.id.max(to.id);
        if scene.chance(25) {
            let soon = scene.at(10);
            scene.tell(json!({"event": "messaging.typing.started", "data": {
                "user_id": from.id, "conversation_id": conversation, "expires_at": soon
            }}));
        }
        let message = json!({
            "id": self.count, "conversation_id": conversation, "content": scene.pick(REMARKS),
            "created_at": scene.at(0),
            "sender": {"id": from.id, "name": from.name, "avatar_url": from.avatar_url()}
        });
        scene.tell(json!({
            "event": "messaging.message.sent", "channel": format!("user.{}", to.id),
            "data": {"message": message}
        }));
    }

    /// Of a reply in the forum, which has it before.
    fn notify(&mut self, scene: &mut Scene, forum: &mut Forum) {
        let to = Person::any(scene);
        let (thread, reply) = forum.comment(scene);
        let unread = &mut self.unread[to.id as usize - 1];
        // Once in a while everything is read.
        *unread = *unread % 11 + 1;
        let unread = *unread;
        let notification = json!({
            "id": self.count, "type": "reply", "title": "New reply", "message": reply, "icon": "comment",
            "action_url": format!("/threads/{thread}"), "created_at": scene.at(0)
        });
        scene.tell(json!({
            "event": "notification.sent", "user_id": to.id,
            "data": {"notification": notification, "unread_count": unread}
        }));
    }

    fn come_or_go(&mut self, scene: &mut Scene) {
        let follower = Person::any(scene);
        let at = scene.place(NAMES.len());
        let status = (self.statuses[at] + 1 + scene.place(STATUSES.len() - 1)) % STATUSES.len();
        self.statuses[at] = status;
        let channel = format!("following.{}", follower.id);
        let user = Person::at(at).id;
        if STATUSES[status] == "online" {
            scene.tell(json!({
                "event": "user.status.online", "channel": channel, "data": {"user_id": user}
            }));
        }
        let now = scene.at(0);
        scene.tell(json!({"event": "user.status.changed", "channel": channel, "data": {
            "user_id": user, "status": STATUSES[status], "last_seen_at": now, "activity": "viewing_thread"
        }}));
    }

    fn look_at_project(&mut self, scene: &mut Scene) {
        let at = scene.place(self.shown.len());
        let (views, likes) = &mut self.shown[at];
        *views += scene.number(1..30);
        *likes += scene.number(0..4);
        scene.tell(json!({
            "event": "showcase.project.stats_updated", "channel": format!("showcase.{}", at + 1),
            "data": {"showcase_id": at + 1, "views": *views, "likes": *likes}
        }));
    }

    /// What concerns everyone's account, or one's own.
    fn announce(&self, scene: &mut Scene) {
        let person = Person::any(scene);
        let channel = format!("user.{}", person.id);
        let envelope = if scene.chance(50) {
            json!({"event": "notification.security.alert", "channel": channel, "data": {
                "message": "A sign-in from a new device"
            }})
        } else {
            json!({"event": "notification.system.announcement", "channel": channel, "data": {
                "message": format!("Maintenance window {} is on Sunday at six", self.count % 50 + 1)
            }})
        };
        scene.tell(envelope);
    }
}

fn feed(scene: &mut Scene) {
    let (follower, author) = (Person::any(scene), Person::any(scene));
    let thread = scene.place(TITLES.len());
    let activity = json!({
        "type": "thread_created", "user_id": author.id, "content_id": thread + 1,
        "content_title": TITLES[thread], "created_at": scene.at(0)
    });
    scene.tell(json!({
        "event": "user.activity.feed_updated", "channel": format!("following.{}", follower.id),
        "data": {"activity": activity}
    }));
}

/// Each project is its author's.
fn show_project(scene: &mut Scene) {
    let at = scene.place(TITLES.len());
    let author = Person::at(at);
    scene.tell(json!({"event": "showcase.project.updated", "data": {
        "showcase_id": at + 1, "update_type": "new_image",
        "content": {
            "image_url": format!("https://mechamap.example/p/{}.jpg", at + 1),
            "description": "Latest progress photo"
        },
        "author": {"id": author.id, "name": author.name}
    }}));
}
