//! A topic with its records, and reading them within bounds of time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use fanfare::BrokerError;
use tokio::time::timeout;

use super::{Plan, promise};
use crate::services::engine::{Delivery, Engine, Failure, Record, Source, Subscription};

/// A topic of its own.
#[derive(Clone, Debug)]
pub(super) struct Topic(pub(super) String);

impl Topic {
    pub(super) fn new() -> Self {
        Self(format!("conformance.{:016x}", rand::random::<u64>()))
    }

    pub(super) fn group(&self, group: &str, prefetch: u16) -> Subscription {
        Subscription {
            topic: self.0.clone(),
            group: group.to_owned(),
            prefetch,
        }
    }

    /// The record with a number.
    pub(super) fn record(&self, number: u32, key: &str) -> Record {
        Record {
            topic: self.0.clone(),
            key: key.to_owned(),
            id: format!("{}-{number}", self.0),
            payload: Bytes::from(format!(r#"{{"number":{number}}}"#)),
        }
    }

    /// The records of a check, their keys in turn.
    pub(super) fn records(&self, plan: &Plan) -> Vec<Record> {
        (0..plan.records)
            .map(|number| self.record(number, &format!("key-{}", number % plan.keys)))
            .collect()
    }
}

/// Unwraps what only a broken server or engine lets fail.
pub(super) fn works<T>(result: Result<T, BrokerError>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!(
            "broken promise: {what}, while the server is there\n  seen: {error}: {}",
            std::error::Error::source(&error).map_or_else(String::new, ToString::to_string)
        ),
    }
}

pub(super) async fn open(engine: &dyn Engine, subscription: &Subscription) -> Box<dyn Source> {
    works(engine.open(subscription).await, "a group can be opened")
}

pub(super) async fn publish(engine: &dyn Engine, records: &[Record]) {
    let publishing = records.iter().map(|record| engine.publish(record.clone()));
    for published in publishing.collect::<Vec<_>>() {
        works(published.await, "a record can be published");
    }
}

/// The next delivery.
pub(super) async fn next(source: &mut dyn Source, plan: &Plan) -> Delivery {
    let next = timeout(plan.patience, source.next()).await;
    promise!(
        next.is_ok(),
        "what was published comes",
        "nothing for {:?}",
        plan.patience
    );
    works(
        next.unwrap_or_else(|_| unreachable!()),
        "records can be read",
    )
}

/// The next `count` deliveries, unsettled.
pub(super) async fn take(source: &mut dyn Source, count: u32, plan: &Plan) -> Vec<Delivery> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(next(source, plan).await);
    }
    taken
}

/// Whether nothing comes for a while.
pub(super) async fn nothing(source: &mut dyn Source, plan: &Plan, promise: &str) {
    if let Ok(next) = timeout(plan.quiet, source.next()).await {
        let delivery = works(next, "records can be read");
        promise!(false, promise, "{:?}", delivery);
    }
}

pub(super) async fn done(deliveries: impl IntoIterator<Item = Delivery>) {
    for delivery in deliveries {
        works(delivery.settle.done().await, "a record can be settled");
    }
}

/// A failure now, with the accuracy that is kept.
pub(super) fn failure(reason: &str) -> Failure {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = now.map_or(0, |now| now.as_millis());
    Failure {
        at: UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or_default()),
        reason: reason.to_owned(),
    }
}

/// Ids in order, to compare.
pub(super) fn sorted(ids: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut ids = ids.into_iter().collect::<Vec<_>>();
    ids.sort_unstable();
    ids
}

pub(super) fn ids(records: &[Record]) -> Vec<String> {
    sorted(records.iter().map(|record| record.id.clone()))
}
