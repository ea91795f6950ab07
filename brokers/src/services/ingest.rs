//! From a topic or queue to channels: what backends write to the broker reaches clients.

use std::fmt;
use std::sync::Arc;

use fanfare::{Catalog, Error, ErrorKind, Event, ForServices, Node};

use super::consumer::{Handler, HandlerError, Work};
use super::engine::Record;

/// Whether a record is left out.
type Exception = dyn Fn(&Record) -> bool + Send + Sync;

/// A [`Handler`] that reads each record's payload as one envelope and publishes it on a node, so that
/// any backend that can write to the broker can reach clients.
///
/// An envelope that is malformed or does not match its event is a dead letter, whose reason names the
/// paths as the server API would. While the node cannot publish, its broker being away or the node
/// draining, the consumer's circuit breaker opens and records wait where they are.
///
/// A record that comes twice is published twice, with the id that its envelope has.
///
/// Services have what is read here: it is not written to topics again, whatever its event says, so that
/// no event goes round in circles. Where the node writes to the topic that it reads, [`except`] says
/// which records are its own.
///
/// [`except`]: Self::except
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
    except: Option<Box<Exception>>,
}

impl Ingest {
    /// Publishes on `node` what `catalog` finds good.
    #[must_use]
    pub const fn new(node: Node, catalog: Arc<Catalog>) -> Self {
        Self {
            node,
            catalog,
            except: None,
        }
    }

    /// Leaves out the records for which `is_known` holds, unread: those whose events a node has
    /// published already, and then written to the topic.
    #[must_use]
    pub fn except(mut self, is_known: impl Fn(&Record) -> bool + Send + Sync + 'static) -> Self {
        self.except = Some(Box::new(is_known));
        self
    }
}

impl Handler for Ingest {
    async fn handle(&self, work: Work) -> Result<(), HandlerError> {
        if self
            .except
            .as_ref()
            .is_some_and(|except| except(&work.record))
        {
            return Ok(());
        }
        let payload = &work.record.payload;
        if payload.trim_ascii_start().first() == Some(&b'[') {
            return Err(HandlerError::permanent(
                "a record holds one envelope, not an array",
            ));
        }
        let limits = &self.node.config().limits;
        let admitted = self.catalog.read_from_server(payload, limits);
        let events = admitted.map_err(classify)?.into_iter();
        let events = events.flat_map(|admitted| admitted.events);
        let events = events.filter_map(for_clients).collect();
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

/// An event that is written to no topic; none where only services get it.
fn for_clients(event: Event) -> Option<Event> {
    let Some(services) = event.services() else {
        return Some(event);
    };
    let nothing = ForServices {
        id: services.id.clone(),
        topics: Default::default(),
        payload: None,
        only: false,
    };
    (!services.only).then(|| event.for_services(nothing))
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
