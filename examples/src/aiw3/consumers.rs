//! The backend services that read AIW3's topics, each as a group of its own (architecture document,
//! "Event Consumer Implementation" and "Topic Configuration").
//!
//! A record may come twice; all three remember the ids of the last ones, so that what they do is done
//! once. What is no envelope becomes a dead letter of its group.

pub mod analytics;
pub mod audit;
pub mod notifications;
mod program;
mod recent;
mod server_api;

use std::sync::Arc;

use fanfare::{BrokerError, Guarantee, Priority, Retry};
use fanfare_brokers::services::{
    Consumer, Engine, Handler, HandlerError, Record, Running, Subscription,
};
use serde::Deserialize;
use serde_json::Value;

pub use self::program::run;
pub use self::recent::RecentIds;
pub use self::server_api::ServerApi;
use super::fields::Anything;
use super::topics::{ANALYTICS, NOTIFICATIONS, OPERATIONS};

/// Counts; reads [`ANALYTICS`].
pub const ANALYTICS_GROUP: &str = "nft-analytics-group";
/// Notifies users; reads [`NOTIFICATIONS`].
pub const NOTIFICATIONS_GROUP: &str = "nft-notifications-group";
/// Keeps everything; reads [`OPERATIONS`].
pub const AUDIT_GROUP: &str = "nft-audit-group";

/// Records in the hands of a group at a time.
const PREFETCH: u16 = 100;
const CONCURRENCY: usize = 32;

/// The three groups at work in this process.
#[derive(Debug)]
pub struct Consumers(Vec<Running>);

impl Consumers {
    /// Begins to read, each topic for its group.
    ///
    /// # Errors
    /// [`BrokerError`] where the server is away now, or does not let the groups read.
    pub async fn start(
        engine: &Arc<dyn Engine>,
        analytics: impl Handler,
        notifications: impl Handler,
        audit: impl Handler,
    ) -> Result<Self, BrokerError> {
        let analytics = consumer(engine, ANALYTICS, ANALYTICS_GROUP, analytics);
        let notifications = consumer(engine, NOTIFICATIONS, NOTIFICATIONS_GROUP, notifications);
        let audit = consumer(engine, OPERATIONS, AUDIT_GROUP, audit);
        Ok(Self(vec![
            Box::pin(analytics.start()).await?,
            Box::pin(notifications.start()).await?,
            Box::pin(audit.start()).await?,
        ]))
    }

    /// Finishes what is in hand and gives back the rest.
    pub async fn stop(self) {
        let stopping = self
            .0
            .into_iter()
            .map(|running| tokio::spawn(running.stop()));
        for stopping in stopping.collect::<Vec<_>>() {
            // A panic in there has been logged.
            let _ = stopping.await;
        }
    }
}

fn consumer<H: Handler>(
    engine: &Arc<dyn Engine>,
    topic: &str,
    group: &str,
    handler: H,
) -> Consumer<H> {
    let subscription = Subscription {
        topic: topic.to_owned(),
        group: group.to_owned(),
        prefetch: PREFETCH,
    };
    Consumer::new(Arc::clone(engine), subscription, handler)
        .concurrency(CONCURRENCY)
        .retry_for(|record| retry(record).into())
}

/// How often a record is tried: by its event's priority, as the guide has it. Everything on a topic is
/// at-least-once.
fn retry(record: &Record) -> Retry {
    let priority = Message::read(record).map(|message| message.priority());
    Retry::of(priority.unwrap_or(Priority::High), Guarantee::AtLeastOnce)
}

/// An envelope as services read it, in either form.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The event.
    pub event_type: String,
    user_id: Value,
    priority: Option<Priority>,
    /// What it says.
    pub data: Anything,
}

impl Message {
    /// Reads a record.
    ///
    /// # Errors
    /// A permanent one where it is no envelope: another try would not help.
    pub fn read(record: &Record) -> Result<Self, HandlerError> {
        let message = serde_json::from_slice::<Self>(&record.payload);
        let message = message.map_err(HandlerError::permanent)?;
        match &message.user_id {
            Value::Number(_) | Value::String(_) => Ok(message),
            _ => Err(HandlerError::permanent("userId is no number and no string")),
        }
    }

    /// The user, a number in the guide and a string in the architecture document.
    #[must_use]
    pub fn user(&self) -> String {
        match &self.user_id {
            Value::String(name) => name.clone(),
            other => other.to_string(),
        }
    }

    /// Its priority; what the NFT service says is high.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority.unwrap_or(Priority::High)
    }

    /// A text among its data.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.data.get(name)?.as_str()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(payload: &Value) -> Record {
        Record {
            topic: ANALYTICS.to_owned(),
            key: String::new(),
            id: "1".to_owned(),
            payload: payload.to_string().into(),
        }
    }

    #[test]
    fn both_envelopes_are_messages() {
        for line in include_str!("../../fixtures/aiw3.jsonl").lines() {
            let envelope = serde_json::from_str::<Value>(line).unwrap();
            let message = Message::read(&record(&envelope)).unwrap();
            assert_eq!(message.user(), "12345");
            assert_eq!(message.event_type, envelope["eventType"]);
        }
    }

    #[test]
    fn retries_go_by_priority() {
        let retries = |priority: &str| {
            let envelope = json!({"eventType": "e", "userId": 1, "data": {}, "priority": priority});
            retry(&record(&envelope)).retries
        };
        assert_eq!(["high", "medium", "low"].map(retries), [5, 3, 1]);
        let envelope = json!({"eventType": "e", "userId": "1", "data": {}});
        assert_eq!(retry(&record(&envelope)).retries, 5, "of the NFT service");
    }

    #[test]
    fn what_is_no_envelope_is_given_up() {
        use fanfare_brokers::services::HandlerErrorKind::Permanent;
        for payload in [
            json!(1),
            json!({"eventType": "e", "data": {}}),
            json!({"eventType": "e", "userId": null, "data": {}}),
            json!({"eventType": "e", "userId": 1, "data": []}),
        ] {
            let error = Message::read(&record(&payload)).unwrap_err();
            assert_eq!(error.kind(), Permanent, "{payload}");
        }
    }
}
