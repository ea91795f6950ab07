//! Telling users.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use fanfare::Priority;
use fanfare_brokers::services::{Handler, HandlerError, Work};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::INTERNAL;
use super::super::control::UserId;
use super::super::fields::{Anything, ID_CHARS};
use super::{Message, RecentIds, ServerApi};

const REMEMBERED: usize = 100_000;

/// Makes a notification of each record, and delivers it.
#[derive(Debug)]
pub struct Notifications {
    outlet: Outlet,
    recent: Mutex<RecentIds>,
}

/// Where notifications go.
#[derive(Debug)]
pub enum Outlet {
    /// To standard output, a line each: what a push or e-mail service would be given.
    Print,
    /// To the user's own channel, through the server API.
    Server(Box<ServerApi>),
}

/// What a user is told (architecture document, `processNotificationEvent`).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Made of the record's, always the same: who gets it twice can tell.
    pub id: String,
    /// Whom to tell.
    pub user_id: String,
    /// The event that it is about.
    pub r#type: String,
    /// A few words.
    pub title: String,
    /// A sentence.
    pub message: String,
    /// How urgent it is.
    pub priority: Priority,
    /// The event's own data, without what is internal.
    pub data: Anything,
}

impl Notifications {
    /// Delivers to `outlet`.
    #[must_use]
    pub fn new(outlet: Outlet) -> Self {
        Self {
            outlet,
            recent: Mutex::new(RecentIds::new(REMEMBERED)),
        }
    }

    fn is_known(&self, id: &str) -> bool {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.contains(id)
    }

    fn remember(&self, id: &str) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.insert(id);
    }
}

impl Handler for Notifications {
    async fn handle(&self, work: Work) -> Result<(), HandlerError> {
        let message = Message::read(&work.record)?;
        let id = &work.record.id;
        if self.is_known(id) {
            return Ok(());
        }
        let notification = Notification::of(id, message);
        match &self.outlet {
            Outlet::Print => print(&notification)?,
            Outlet::Server(server) => server.publish(&notification.envelope()?).await?,
        }
        // Afterwards: one that failed is to be tried again.
        self.remember(id);
        Ok(())
    }
}

impl Notification {
    /// What the user of a message is told of it. `id` is that of its record.
    #[must_use]
    pub fn of(id: &str, mut message: Message) -> Self {
        // Below the data of the notification's own envelope, the server would not look for it.
        message.data.retain(|name, _| !INTERNAL.contains(&&**name));
        let name = |field| message.text(field).unwrap_or("another one");
        // The words of the guide's handlers.
        let (title, text) = match &*message.event_type {
            "badge_earned" => (
                "Badge Earned!".to_owned(),
                format!("You've earned the \"{}\" badge!", name("badgeName")),
            ),
            "nft_unlocked" => {
                let field = if message.data.contains_key("nftName") {
                    "nftName"
                } else {
                    "tierName"
                };
                (
                    "NFT Unlocked!".to_owned(),
                    format!("Congratulations! You've unlocked {}", name(field)),
                )
            }
            other => (
                words(other),
                format!("There is news: {}", words(other).to_lowercase()),
            ),
        };
        Self {
            id: notification_id(id),
            user_id: message.user(),
            r#type: message.event_type.clone(),
            title,
            message: text,
            priority: message.priority(),
            data: message.data,
        }
    }

    /// The notification as a message to the user, in the guide's envelope.
    ///
    /// # Errors
    /// A permanent one where the user is no number, which the guide's envelope asks for.
    pub fn envelope(&self) -> Result<Value, HandlerError> {
        let UserId::Number(user) = UserId::of(&self.user_id) else {
            let problem = format!(
                "user {:?} is no number, as the guide's envelope has it",
                self.user_id
            );
            return Err(HandlerError::permanent(problem));
        };
        Ok(json!({
            "messageId": self.id, "eventType": "chat_message", "userId": user, "priority": self.priority,
            "data": {"type": self.r#type, "title": self.title, "message": self.message, "data": self.data}
        }))
    }
}

/// The id of the notification of a record. It fits an envelope, whatever the record's.
fn notification_id(record: &str) -> String {
    let id = format!("notification_{record}");
    if id.chars().count() <= ID_CHARS {
        return id;
    }
    let short = Uuid::new_v5(&Uuid::NAMESPACE_OID, record.as_bytes());
    format!("notification_{short}")
}

/// `badge_earned` as `Badge earned`.
fn words(event: &str) -> String {
    let mut words = event.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

fn print(notification: &Notification) -> Result<(), HandlerError> {
    let line = json!({ "notification": notification });
    writeln!(io::stdout(), "{line}").map_err(HandlerError::unavailable)
}

#[cfg(test)]
mod tests {
    use fanfare_brokers::services::Record;

    use super::*;
    use crate::aiw3::Aiw3;
    use crate::platform::Platform;

    fn message(envelope: &Value) -> Message {
        let record = Record {
            topic: String::new(),
            key: String::new(),
            id: "e1".to_owned(),
            payload: envelope.to_string().into(),
        };
        Message::read(&record).unwrap()
    }

    #[test]
    fn a_notification_is_an_event_that_the_server_takes() {
        for line in include_str!("../../../fixtures/aiw3.jsonl").lines() {
            let envelope = serde_json::from_str(line).unwrap();
            let notification = Notification::of("e1", message(&envelope));
            assert!(!notification.title.is_empty() && !notification.message.is_empty());
            let body = notification.envelope().unwrap().to_string();
            let limits = Aiw3::config().limits;
            let admitted = Aiw3::catalog().read_from_server(body.as_bytes(), &limits);
            let admitted = admitted.unwrap().remove(0);
            assert_eq!(admitted.id, "notification_e1");
            assert_eq!(admitted.events[0].channel().as_str(), "user.12345");
        }
    }

    #[test]
    fn its_id_fits_an_envelope_and_is_the_records() {
        assert_eq!(notification_id("e1"), "notification_e1");
        let fits = "x".repeat(115);
        assert_eq!(notification_id(&fits), format!("notification_{fits}"));
        let (one, other) = ("x".repeat(128), "x".repeat(127) + "y");
        assert_eq!(notification_id(&one).len(), 49);
        assert_eq!(notification_id(&one), notification_id(&one));
        assert_ne!(notification_id(&one), notification_id(&other));
    }

    #[test]
    fn what_is_internal_is_not_told() {
        let data = json!({"badgeName": "b", "internalId": 5, "systemMetadata": {"host": "h"}});
        let envelope = json!({"eventType": "badge_earned", "userId": 7, "data": data});
        let notification = Notification::of("e1", message(&envelope));
        assert_eq!(json!(notification.data), json!({"badgeName": "b"}));
    }

    #[test]
    fn its_words_are_those_of_the_guide() {
        let of = |event: &str, data: Value| {
            let envelope = json!({"eventType": event, "userId": "7", "data": data});
            let notification = Notification::of("e1", message(&envelope));
            (notification.title, notification.message)
        };
        let (title, message) = of("badge_earned", json!({"badgeName": "First Trade"}));
        assert_eq!(title, "Badge Earned!");
        assert_eq!(message, "You've earned the \"First Trade\" badge!");
        let (_, message) = of("nft_unlocked", json!({"tierName": "Golden Chicken"}));
        assert_eq!(message, "Congratulations! You've unlocked Golden Chicken");
        assert_eq!(of("rank_changed", json!({})).0, "Rank changed");
    }

    #[test]
    fn a_user_who_is_no_number_has_no_envelope() {
        // "007" is somebody else than 7.
        for user in ["anna", "007"] {
            let envelope = json!({"eventType": "badge_earned", "userId": user, "data": {}});
            let notification = Notification::of("e1", message(&envelope));
            assert!(notification.envelope().is_err(), "{user}");
        }
    }
}
