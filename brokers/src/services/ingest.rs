//! From a topic or queue to channels: what backends write to the broker reaches clients.

use std::fmt;
use std::sync::Arc;

use fanfare::{Catalog, Error, ErrorKind, Node};

use super::consumer::{Handler, HandlerError, Work};

/// A [`Handler`] that reads each record's payload as one envelope and publishes it on a node, so that
/// any backend that can write to the broker can reach clients.
///
/// An envelope that is malformed or does not match its event is a dead letter, whose reason names the
/// paths as the server API would. While the node cannot publish, its broker being away or the node
/// draining, the consumer's circuit breaker opens and records wait where they are.
///
/// A record that comes twice is published twice, with the id that its envelope has.
///
/// Give the consumer a concurrency of 1, or records keys, where the order of a channel matters.
///
/// ```no_run
/// # use std::sync::Arc;
/// use fanfare::{Catalog, Node};
/// use fanfare_brokers::services::{Consumer, Engine, Ingest, Subscription};
///
/// # async fn example(engine: Arc<dyn Engine>, node: Node, catalog: Arc<Catalog>) -> Result<(), fanfare::BrokerError> {
/// let subscription = Subscription {
///     topic: "notification_events".into(),
///     group: "notification_events".into(),
///     prefetch: 100,
/// };
/// let running = Consumer::new(engine, subscription, Ingest::new(node, catalog)).start().await?;
/// # Ok(())
/// # }
/// ```
pub struct Ingest {
    node: Node,
    catalog: Arc<Catalog>,
}

impl Ingest {
    /// Publishes on `node` what `catalog` finds good.
    #[must_use]
    pub const fn new(node: Node, catalog: Arc<Catalog>) -> Self {
        Self { node, catalog }
    }
}

impl Handler for Ingest {
    async fn handle(&self, work: Work) -> Result<(), HandlerError> {
        let payload = &work.record.payload;
        if payload.trim_ascii_start().first() == Some(&b'[') {
            return Err(HandlerError::permanent(
                "a record holds one envelope, not an array",
            ));
        }
        let limits = &self.node.config().limits;
        let admitted = self.catalog.read_from_server(payload, limits);
        let events = admitted.map_err(classify)?.into_iter();
        let events = events.flat_map(|admitted| admitted.events).collect();
        self.node.publish_all(events).await.map_err(classify)?;
        Ok(())
    }
}

impl fmt::Debug for Ingest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingest")
            .field("catalog", &self.catalog)
            .finish_non_exhaustive()
    }
}

/// Whose fault it is.
fn classify(error: Error) -> HandlerError {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::TooManyRequests => HandlerError::unavailable(error),
        ErrorKind::Internal => HandlerError::retryable(error),
        ErrorKind::InvalidEvent => HandlerError::permanent(problems(&error)),
        _ => HandlerError::permanent(error),
    }
}

/// Every problem with its path: the reason of a dead letter has nothing else to go by.
fn problems(error: &Error) -> String {
    let problems = error.problems().iter();
    let problems = problems.map(|problem| format!("{}: {}", problem.path, problem.problem));
    problems.collect::<Vec<_>>().join("; ")
}
