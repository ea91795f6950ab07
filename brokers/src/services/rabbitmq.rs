//! RabbitMQ: a durable topic exchange, a queue for each group.
//!
//! ```text
//! publish -> exchange -> queue of group A -> consumer -> ack
//!                     -> queue of group B        | retry after n ms
//!                              ^                 v
//!                              +---- QUEUE.retry.n (expires after n ms)
//!                                                | given up
//!                                                v
//!                            dead letter exchange -> failed_events
//! ```
//!
//! Publications are mandatory and confirmed: what no queue takes is an error. A record that is put off
//! or given up is confirmed in its new queue before it leaves the old one, so that it is in both for a
//! moment and never in neither. Dead letters of the server itself, rejected by another program,
//! expired, or displaced, are listed and replayed as well.
//!
//! A server that is killed keeps what it confirmed, and so it does with records that wait for a retry: their
//! queues are quorum queues, used two seconds after they were declared because a younger one may be
//! forgotten (RabbitMQ 3.10). Once the server is back, what was not settled comes again at once.

mod connection;
mod dead_letters;
mod error;
mod message;
mod publisher;
mod queues;
mod settle;
mod source;
mod topology;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use fanfare::{BoxFuture, BrokerError, Sink};
use lapin::uri::AMQPUri;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::connection::{Link, connect, declare_group};
use self::dead_letters::QueueDeadLetters;
use self::error::{rejected, short, unavailable};
use self::message::{ID_BYTES, KEY_BYTES, Message};
use self::publisher::{Publication, Publisher};
pub use self::queues::QueueState;
use self::queues::states;
use self::settle::{Closing, Group};
use self::source::QueueSource;
pub use self::topology::{DeadLetterQueue, Durability, Queue, Topology};
use super::engine::{DeadLetters, Engine, Record, Source, Subscription};

/// The most of [`Subscription::prefetch`].
const MOST_PREFETCH: u16 = 10_000;
/// The numbers of the connection that a URL may say (amq-protocol-uri).
const NUMBERS: [&str; 4] = [
    "channel_max",
    "connection_timeout",
    "frame_max",
    "heartbeat",
];
/// How long a group's queue may be called, so that there is room for the names of its retry queues.
const QUEUE_BYTES: usize = 220;

/// Services' topics in RabbitMQ.
///
/// Connects again by itself, with growing pauses, and reads on; publications fail at once meanwhile.
pub struct RabbitMq {
    topology: Arc<Topology>,
    link: Link,
    publisher: Publisher,
    closing: Closing,
    stop: watch::Sender<bool>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl RabbitMq {
    /// Connects, and declares exchanges and queues that are missing.
    ///
    /// `url` is `amqp://USER:PASSWORD@HOST:PORT/VHOST`, the virtual host percent-encoded (`%2f`), or the
    /// same with `amqps://` for TLS, with the roots of trust of the system. To be called in a Tokio
    /// runtime.
    ///
    /// # Errors
    /// [`Rejected`](fanfare::BrokerErrorKind::Rejected) where `url` is none, the credentials are not
    /// taken, or something exists that was declared otherwise;
    /// [`Unavailable`](fanfare::BrokerErrorKind::Unavailable) where the server is away.
    pub async fn connect(url: &str, topology: Topology) -> Result<Self, BrokerError> {
        let uri = parse(url)?;
        let topology = Arc::new(topology);
        let (link, keeper) = Box::pin(connect(uri, topology.clone())).await?;
        let (stop, stopping) = watch::channel(false);
        let (publisher, publishing) = Publisher::new(link.clone());
        tokio::spawn(publishing);
        let closing = Closing::default();
        let keeper = tokio::spawn(Box::pin(keeper.keep(stopping, closing.clone())));
        Ok(Self {
            topology,
            link,
            publisher,
            closing,
            stop,
            keeper: Mutex::new(Some(keeper)),
        })
    }

    /// Connects as [`engine_from_url`](super::engine_from_url) does, whose rules the URL goes by.
    ///
    /// # Errors
    /// As for [`connect`](Self::connect).
    pub async fn from_url(url: &str) -> Result<Self, BrokerError> {
        let (server, topology) = server_and_topology(url)?;
        Self::connect(&server, topology).await
    }

    /// How the topology's queues are now, the one of dead letters last. One that somebody has deleted is
    /// left out.
    ///
    /// Cancel safe. Costs a channel and a question for each queue.
    ///
    /// # Errors
    /// [`Unavailable`](fanfare::BrokerErrorKind::Unavailable) where the server is away, or does not answer
    /// within 10 s.
    pub async fn queues(&self) -> Result<Vec<QueueState>, BrokerError> {
        let live = self.link.now()?;
        let names = self.topology.queues.iter().map(|queue| &*queue.name);
        let names = names.chain([&*self.topology.dead_letters.queue]);
        let names = names.collect::<Vec<_>>();
        let asked = Box::pin(states(&live, &names));
        let states = self.link.clone().while_lasts(&live, asked).await;
        states.unwrap_or_else(|| Err(unavailable("the connection was lost")))
    }

    fn group(&self, subscription: &Subscription) -> Result<Arc<Group>, BrokerError> {
        let Subscription {
            topic,
            group,
            prefetch,
        } = subscription;
        if topic.is_empty() || group.is_empty() {
            return Err(rejected("a subscription has a topic and a group"));
        }
        if !(1..=MOST_PREFETCH).contains(prefetch) {
            return Err(rejected(format!(
                "a prefetch is 1 to {MOST_PREFETCH}, not {prefetch}"
            )));
        }
        let queue = self.topology.queue_of(topic, group);
        if queue.name.len() > QUEUE_BYTES {
            return Err(rejected(format!(
                "the name of queue {:?} has more than {QUEUE_BYTES} bytes",
                queue.name
            )));
        }
        // Its own, so that nothing else waits where one of its queues takes long.
        let (publisher, publishing) = Publisher::new(self.link.clone());
        tokio::spawn(publishing);
        Ok(Arc::new(Group {
            topology: self.topology.clone(),
            queue,
            link: self.link.clone(),
            publisher,
            closing: self.closing.clone(),
            retries: Mutex::default(),
            declaring: tokio::sync::Mutex::default(),
        }))
    }

    fn publication(&self, record: Record) -> Result<Publication, BrokerError> {
        if !(1..=ID_BYTES).contains(&record.id.len()) {
            return Err(rejected(format!("an id has 1 to {ID_BYTES} bytes")));
        }
        if record.key.len() > KEY_BYTES {
            return Err(rejected(format!("a key has at most {KEY_BYTES} bytes")));
        }
        Ok(Publication {
            exchange: short(&self.topology.exchange)?,
            routing_key: short(&record.topic)?,
            payload: record.payload.clone(),
            properties: Message::new(record).published(),
        })
    }
}

impl Sink for RabbitMq {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn publish(&self, record: Record) -> BoxFuture<'_, Result<(), BrokerError>> {
        if *self.stop.borrow() {
            return Box::pin(async { Err(unavailable("the engine was shut down")) });
        }
        if let Err(error) = self.link.now() {
            return Box::pin(async { Err(error) });
        }
        match self.publication(record) {
            Ok(publication) => Box::pin(self.publisher.publish(publication)),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn is_up(&self) -> bool {
        self.link.now().is_ok()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.publisher.flush().await;
            self.stop.send_replace(true);
            let keeper = self
                .keeper
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(keeper) = keeper {
                // An error would be its panic, which has ended it.
                let _ = keeper.await;
            }
        })
    }
}

impl Engine for RabbitMq {
    fn open<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, BrokerError>> {
        Box::pin(async move {
            let group = self.group(subscription)?;
            self.link.now()?;
            let source = QueueSource::open(group, subscription.prefetch).await?;
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }

    fn dead_letters<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn DeadLetters>, BrokerError>> {
        Box::pin(async move {
            let group = self.group(subscription)?;
            let channel = self.link.now()?.channel().await?;
            // What is replayed needs a queue to go to.
            declare_group(&channel, &self.topology, &group.queue).await?;
            Ok(Box::new(QueueDeadLetters(group)) as Box<dyn DeadLetters>)
        })
    }
}

impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMq")
            .field("exchange", &self.topology.exchange)
            .field("is_up", &self.is_up())
            .finish_non_exhaustive()
    }
}

fn parse(url: &str) -> Result<AMQPUri, BrokerError> {
    let no_url = |problem: &str| {
        rejected(format!(
            "no URL of a RabbitMQ server, as in amqp://user:password@host:5672/%2f: {problem}"
        ))
    };
    let uri = url.parse::<AMQPUri>().map_err(|error| no_url(&error))?;
    // The parser takes an address in brackets for none at all, and would go to localhost.
    if url.contains('[') {
        return Err(no_url("name the host, or give its IPv4 address"));
    }
    Ok(uri)
}

/// What a URL says of the server, and what of exchanges and queues.
fn server_and_topology(url: &str) -> Result<(String, Topology), BrokerError> {
    let (server, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut topology, mut durability) = (Topology::gamification(), Durability::Classic);
    let mut others = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("exchange", "")) => return Err(rejected("an exchange has a name")),
            Some(("exchange", name)) if name != topology.exchange => {
                topology = Topology::new(name);
            }
            Some(("exchange", _)) => {}
            Some(("queues", "classic")) => durability = Durability::Classic,
            Some(("queues", "quorum")) => durability = Durability::Quorum,
            Some(("queues", _)) => return Err(rejected("queues are classic or quorum")),
            Some(("auth_mechanism", _)) => others.push(pair),
            Some((name, number)) if NUMBERS.contains(&name) => match number.parse::<u32>() {
                Ok(_) => others.push(pair),
                Err(_) => return Err(rejected(format!("{pair:?}: that is no number"))),
            },
            _ => {
                return Err(rejected(format!(
                    "{pair:?} means nothing in the URL of a RabbitMQ server"
                )));
            }
        }
    }
    let query = if others.is_empty() { "" } else { "?" };
    let server = format!("{server}{query}{}", others.join("&"));
    Ok((server, topology.durability(durability)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<(String, Topology), String> {
        let source = |error: BrokerError| std::error::Error::source(&error).unwrap().to_string();
        server_and_topology(url).map_err(source)
    }

    #[test]
    fn a_url_names_exchange_and_kind_of_queues() {
        let gamification = Topology::gamification();
        for (url, server, topology) in [
            ("amqp://h", "amqp://h", gamification.clone()),
            ("amqp://h?", "amqp://h", gamification.clone()),
            (
                "amqp://h?exchange=gamification",
                "amqp://h",
                gamification.clone(),
            ),
            (
                "amqp://h/v?exchange=shop",
                "amqp://h/v",
                Topology::new("shop"),
            ),
            (
                "amqp://h?heartbeat=5&queues=quorum&channel_max=9",
                "amqp://h?heartbeat=5&channel_max=9",
                gamification.durability(Durability::Quorum),
            ),
        ] {
            assert_eq!(read(url), Ok((server.to_owned(), topology)), "{url}");
        }
    }

    #[test]
    fn what_means_nothing_in_a_url_is_refused_by_name() {
        for (query, problem) in [
            ("exchange=", "an exchange has a name"),
            ("queues=lazy", "queues are classic or quorum"),
            ("queue=quorum", "\"queue=quorum\" means nothing"),
            ("quorum", "\"quorum\" means nothing"),
            ("heartbeat=x", "\"heartbeat=x\": that is no number"),
            ("heartbeat=-1", "that is no number"),
        ] {
            let refused = read(&format!("amqp://h?{query}")).unwrap_err();
            assert!(refused.contains(problem), "{refused}");
        }
    }
}
