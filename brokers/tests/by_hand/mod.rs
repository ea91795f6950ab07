//! What the tests of engines do by hand, below the consumer.

pub(crate) mod rules;

use std::time::{Duration, SystemTime};

use fanfare_brokers::services::{Delivery, Engine, Failure, Record, Source, Subscription};
use tokio::time::timeout;

/// Longer than anything takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(40);

pub(crate) fn record(topic: &str, key: &str, id: impl Into<String>) -> Record {
    let id = id.into();
    Record {
        topic: topic.to_owned(),
        key: key.to_owned(),
        payload: format!(r#"{{"id":"{id}"}}"#).into(),
        id,
    }
}

pub(crate) fn group(topic: &str, group: &str, prefetch: u16) -> Subscription {
    Subscription {
        topic: topic.to_owned(),
        group: group.to_owned(),
        prefetch,
    }
}

pub(crate) fn failure(reason: &str) -> Failure {
    Failure {
        at: SystemTime::now(),
        reason: reason.to_owned(),
    }
}

/// The next delivery; errors in between are lost connections, which the source sees to.
pub(crate) async fn next(source: &mut dyn Source) -> Delivery {
    let delivery = async {
        loop {
            match source.next().await {
                Ok(delivery) => return delivery,
                Err(error) => eprintln!("{error}: {:?}", std::error::Error::source(&error)),
            }
        }
    };
    timeout(LONG, delivery)
        .await
        .expect("nothing was delivered")
}

/// Nothing comes for a while.
pub(crate) async fn nothing(source: &mut dyn Source, wait: Duration) {
    if let Ok(Ok(delivery)) = timeout(wait, source.next()).await {
        panic!("{delivery:?} came");
    }
}

/// Publishes until the server is there.
pub(crate) async fn publish_at_last(engine: &dyn Engine, record: &Record) {
    let published = async {
        while let Err(error) = engine.publish(record.clone()).await {
            eprintln!("{error}: {:?}", std::error::Error::source(&error));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, published)
        .await
        .expect("nothing was published");
}

/// Waits until something is so.
pub(crate) async fn until(within: Duration, what: &str, is_so: impl Fn() -> bool) {
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(within, so)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {within:?}"));
}
