//! From topics that backends write to, to the clients of this node and the others.

use std::sync::Arc;
use std::time::Duration;

use fanfare::{BoxFuture, BrokerError, Catalog, Node, Sink};
use fanfare_brokers::services::{
    Consumer, Engine, Ingest, Record, RetryPolicy, Running, Subscription,
};
use uuid::Uuid;

use crate::platform::Platform;
use crate::topics::{self, reason};

/// What begins the ids of records that a server wrote itself: their events have gone to clients
/// already, and must not come to them again.
const OWN: &str = "fanfare:";
/// How many bytes an id may have.
const ID_BYTES: usize = 128;
/// Records that may be in hand at a time.
const PREFETCH: u16 = 100;
/// How long a publication may take to finish when the server goes down.
const GRACE: Duration = Duration::from_secs(5);

/// A topic or queue, and the group that reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    topic: String,
    group: String,
}

/// Reads `TOPIC` or `TOPIC=GROUP`. The group that is not named is called as the topic: in RabbitMQ that
/// is the queue itself.
pub(crate) fn topic(text: &str) -> Result<Topic, String> {
    let (topic, group) = text.split_once('=').unwrap_or((text, text));
    if topic.is_empty() || group.is_empty() {
        return Err("what is read is TOPIC, or TOPIC=GROUP".to_owned());
    }
    // Of a line's end RabbitMQ would take another name than it was given.
    if text.contains(char::is_control) {
        return Err("the names of topics and groups have no control characters".to_owned());
    }
    Ok(Topic {
        topic: topic.to_owned(),
        group: group.to_owned(),
    })
}

/// The topics that are being read, and the server that they are on.
#[derive(Debug, Default)]
pub(crate) struct Ingesting {
    engine: Option<Arc<dyn Engine>>,
    running: Vec<Running>,
}

/// Begins to read topics and publishes on `node` what they hold, as the server API would.
///
/// Records that a server wrote are left out, and what is read is not written to topics again: an event
/// makes one way, from clients' side to services or the other way round, and never both.
///
/// # Errors
/// A sentence that says what is missing or away.
pub(crate) async fn start<P: Platform>(
    node: &Node,
    sink: Option<&str>,
    broker: &str,
    ingested: &[Topic],
) -> Result<Ingesting, String> {
    if ingested.is_empty() {
        return Ok(Ingesting::default());
    }
    let url = sink.filter(|url| *url != "none").map(str::to_owned);
    // `memory:` keeps none.
    let of_broker = || broker.contains("://").then(|| topics::server(broker));
    let Some(url) = url.or_else(of_broker) else {
        let sentence = "--ingest needs a server that keeps topics, as amqp://HOST:PORT in --topics";
        return Err(sentence.to_owned());
    };
    let failed = |error| format!("--ingest: {}", reason(&error));
    let engine = Box::pin(P::engine(&url)).await.map_err(failed)?;
    let catalog = Arc::new(P::catalog());
    let mut running = Vec::with_capacity(ingested.len());
    for Topic { topic, group } in ingested {
        let subscription = Subscription {
            topic: topic.clone(),
            group: group.clone(),
            prefetch: PREFETCH,
        };
        let ingest = Ingest::new(node.clone(), catalog.clone()).except(is_own);
        let retries = catalog.clone();
        let consumer = Consumer::new(engine.clone(), subscription, ingest)
            // Most backends give their records no keys, and expect a channel's order all the same.
            .concurrency(1)
            .retry_for(move |record| retry(&retries, record))
            .grace(GRACE);
        running.push(consumer.start().await.map_err(failed)?);
    }
    Ok(Ingesting {
        engine: Some(engine),
        running,
    })
}

/// As its event has it. What is no event of the platform is given up at the first try anyway.
fn retry(catalog: &Catalog, record: &Record) -> RetryPolicy {
    let retry = catalog.retry(&record.payload);
    retry.map_or_else(RetryPolicy::default, RetryPolicy::from)
}

impl Ingesting {
    /// Stops: what is in hand is published, the rest stays where it is.
    pub(crate) async fn stop(self) {
        for running in self.running {
            running.stop().await;
        }
        if let Some(engine) = self.engine {
            let _ = tokio::time::timeout(GRACE, engine.shutdown()).await;
        }
    }
}

/// A sink whose records say that a server wrote them.
#[derive(Debug)]
pub(crate) struct Own(pub(crate) Arc<dyn Sink>);

impl Sink for Own {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn publish(&self, mut record: Record) -> BoxFuture<'_, Result<(), BrokerError>> {
        record.id = own_id(&record.id);
        self.0.publish(record)
    }

    fn is_up(&self) -> bool {
        self.0.is_up()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.0.shutdown()
    }
}

/// An id of which [`is_own`] holds, the same for the same id.
fn own_id(id: &str) -> String {
    if OWN.len() + id.len() <= ID_BYTES {
        return format!("{OWN}{id}");
    }
    let short = Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes());
    format!("{OWN}{short}")
}

fn is_own(record: &Record) -> bool {
    record.id.starts_with(OWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aiw3::Aiw3;

    #[test]
    fn retries_are_those_of_the_event_in_its_envelope_whatever_the_topic() {
        let catalog = Aiw3::catalog();
        let retries = |payload: &'static str| {
            let record = Record {
                topic: "nft-notifications-topic".to_owned(),
                key: String::new(),
                id: "1".to_owned(),
                payload: payload.into(),
            };
            retry(&catalog, &record).retry.retries
        };
        assert_eq!(retries(r#"{"eventType":"badge_earned","userId":7}"#), 0);
        assert_eq!(retries(r#"{"eventType":"badge_earned","userId":"7"}"#), 5);
        assert_eq!(
            retries(r#"{"eventType":"leaderboard_update","userId":7}"#),
            1
        );
        let default = RetryPolicy::default().retry.retries;
        assert_eq!(retries("no envelope"), default);
    }

    #[test]
    fn the_mark_fits_any_id() {
        assert_eq!(own_id("7"), "fanfare:7");
        let (one, other) = ("x".repeat(128), "x".repeat(127) + "y");
        assert!(own_id(&one).len() <= 128 && own_id(&one).starts_with(OWN));
        assert_eq!(own_id(&one), own_id(&one));
        assert_ne!(own_id(&one), own_id(&other));
    }

    #[test]
    fn a_group_that_is_not_named_is_called_as_its_topic() {
        let read = |text| topic(text).map(|Topic { topic, group }| (topic, group));
        let expected = |topic: &str, group: &str| Ok((topic.to_owned(), group.to_owned()));
        assert_eq!(
            read("reward_events"),
            expected("reward_events", "reward_events")
        );
        assert_eq!(
            read("reward_events=live"),
            expected("reward_events", "live")
        );
        for wrong in ["", "=", "a=", "=b", "a\nb", "a=b\t"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
