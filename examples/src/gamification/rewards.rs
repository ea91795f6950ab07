//! From a completed quest to its reward.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fanfare::catalog::TypedEvent;
use fanfare::config::Limits;
use fanfare::{BrokerError, BrokerErrorKind, Catalog, Error};
use fanfare_brokers::services::{Engine, Handler, HandlerError, Record, Work};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{Gamification, quest, reward};
use crate::platform::Platform;

/// What a quest is worth. The platform's document does not say.
const POINTS: u32 = 100;

/// Writes a `reward.created` for each `quest.completed` of a user that it reads; other events are done
/// with nothing.
///
/// The reward's id, and its record's, follow from the id of the quest's record: one that is read twice
/// is rewarded twice with one id, so that whoever keeps accounts knows the copy. A publisher that gives
/// its messages no ids does without that.
pub struct Rewards {
    engine: Arc<dyn Engine>,
    catalog: Catalog,
    limits: Limits,
    published: AtomicU64,
}

impl Rewards {
    /// Writes rewards to `engine`.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine,
            catalog: Gamification::catalog(),
            limits: Gamification::config().limits,
            published: AtomicU64::new(0),
        }
    }

    /// How many rewards the server has confirmed so far, copies included.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// The reward that a record asks for, if it asks for one.
    fn reward(&self, record: &Record) -> Result<Option<Record>, HandlerError> {
        let payload = &record.payload;
        if payload.trim_ascii_start().first() == Some(&b'[') {
            return Err(HandlerError::permanent(
                "a record holds one envelope, not an array",
            ));
        }
        self.catalog
            .read_from_server(payload, &self.limits)
            .map_err(|error| HandlerError::permanent(problems(&error)))?;
        let sent = serde_json::from_slice::<Named>(payload).map_err(HandlerError::permanent)?;
        if sent.r#type != quest::Completed::NAME {
            return Ok(None);
        }
        let Completed { data, metadata } =
            serde_json::from_slice(payload).map_err(HandlerError::permanent)?;
        let Some(user_id) = data.user_id else {
            return Ok(None);
        };
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, record.id.as_bytes());
        let envelope = json!({
            "type": reward::Created::NAME,
            "data": {
                "rewardId": format!("reward-{id}"),
                "userId": user_id,
                "name": data.name.unwrap_or_else(|| data.quest_id.clone()),
                "type": "points",
                "value": POINTS,
                "metadata": { "questId": data.quest_id },
            },
            "metadata": {
                "timestamp": format!("{:.3}", Timestamp::now()),
                "correlationId": metadata.correlation_id.unwrap_or_else(|| record.id.clone()),
                "userId": user_id,
                "source": "gamification-consumers",
                "version": "1.0",
            },
        });
        Ok(Some(Record {
            topic: reward::Created::NAME.to_owned(),
            key: format!("user.{user_id}"),
            id: id.to_string(),
            payload: Bytes::from(envelope.to_string()),
        }))
    }
}

impl Handler for Rewards {
    async fn handle(&self, work: Work) -> Result<(), HandlerError> {
        if let Some(reward) = self.reward(&work.record)? {
            self.engine.publish(reward).await.map_err(classify)?;
            self.published.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl fmt::Debug for Rewards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewards")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// An envelope's name.
#[derive(Deserialize)]
struct Named {
    r#type: String,
}

/// What of a completed quest goes into its reward.
#[derive(Deserialize)]
struct Completed {
    data: quest::Quest,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    correlation_id: Option<String>,
}

/// Whose fault it is that a reward could not be written.
fn classify(error: BrokerError) -> HandlerError {
    match error.kind() {
        BrokerErrorKind::Unavailable => HandlerError::unavailable(error),
        // No queue takes it. Somebody may see to that.
        _ => HandlerError::retryable(error),
    }
}

/// Every problem with its path: the reason of a dead letter has nothing else to go by.
fn problems(error: &Error) -> String {
    if error.problems().is_empty() {
        return error.to_string();
    }
    let problems = error.problems().iter();
    let problems = problems.map(|problem| format!("{}: {}", problem.path, problem.problem));
    problems.collect::<Vec<_>>().join("; ")
}
