//! RabbitMQ, with a stream as log.
//!
//! Of a cluster named `C` there are on the server:
//!
//! | name | | |
//! |---|---|---|
//! | `C.events` | durable topic exchange | where nodes publish, with the channel's name as routing key; other programs may bind queues of their own to it |
//! | `C.events.ID` | stream | the log: all that the exchange is given. Every node reads all of it |
//! | `C.logs` | stream | which of the former is the log now |
//! | `C.live` | fanout exchange, not durable | what is in no log, to one exclusive queue of each node |
//!
//! A frame is [`fanfare::Event::encode`]'s. The log also holds a small record for each time that a
//! node connects, by which it finds the end of the log.
//!
//! # What is kept
//! A publication is confirmed once the server has written it to the log: to a majority of the copies
//! where there are several servers. It is written, not synced to the disk: what was confirmed survives
//! that the server is killed and the end of every node, but not that the only server loses power.
//! Nodes find out about a log that lost its end that way, before they hand over anything that stands
//! in the place of what was lost, and let go of it: they delete it and begin a new one, with other
//! epochs.
//!
//! While the server is short of memory or disk it takes in nothing, and publishing is unavailable.
//!
//! Streams need RabbitMQ 3.9 or newer; the user needs the rights to configure, write and read what
//! begins with the cluster's name, and to write to the default exchange.

mod config;
mod connection;
mod generation;
mod link;
mod live;
mod pulse;
mod reader;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fanfare::broker::{Covered, Published};
use fanfare::{
    BoxFuture, Broker, BrokerError, BrokerErrorKind, Channel, Epoch, Event, Guarantee, Guarantees,
    Ingress, Position,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use self::config::{Config, UrlError};
use self::link::Link;
use self::writer::Order;

/// How many events may wait to be sent. Further ones are unavailable at once.
const WAITING: usize = 16_384;
/// How long a shutdown may take: a little more than what is under way may.
const SHUTDOWN: Duration = Duration::from_secs(7);

/// Carries events by RabbitMQ: a stream is the log of a cluster; see [the module](self).
///
/// Connects by itself again when the connection is lost, after 0.1 to 2 s. Dropped without
/// [`shutdown`](Broker::shutdown), it disconnects at once.
pub struct RabbitMq {
    config: Config,
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    stop: watch::Sender<bool>,
    /// The other end of `orders`, until it starts.
    receiver: Mutex<Option<mpsc::Receiver<Order>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl RabbitMq {
    /// A broker that connects when it is started.
    ///
    /// # Errors
    /// [`UrlError::Value`] where a value of the configuration is out of bounds.
    pub fn new(config: Config) -> Result<Self, UrlError> {
        config.check()?;
        let (orders, receiver) = mpsc::channel(WAITING);
        Ok(Self {
            config,
            shared: Arc::default(),
            orders,
            stop: watch::Sender::new(false),
            receiver: Mutex::new(Some(receiver)),
            task: Mutex::default(),
        })
    }

    /// As [`Config::from_url`] and [`new`](Self::new).
    ///
    /// # Errors
    /// [`UrlError`] says what is wrong with the URL. Nothing is connected to.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        Self::new(Config::from_url(url)?)
    }
}

impl Broker for RabbitMq {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            name: "rabbitmq",
            ordered: true,
            durable: true,
            replayable: true,
            shared_positions: true,
        }
    }

    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>> {
        let Some(orders) = lock(&self.receiver).take() else {
            let again = "a RabbitMQ broker serves one node, and is started once";
            let error = BrokerError::new(BrokerErrorKind::Rejected, again);
            return Box::pin(ready(Err(error)));
        };
        let link = Link::new(
            self.config.clone(),
            self.shared.clone(),
            ingress,
            orders,
            self.stop.subscribe(),
        );
        let (started, starts) = oneshot::channel();
        *lock(&self.task) = Some(tokio::spawn(link.run(started)));
        Box::pin(async move {
            let ended = || unavailable("the broker was shut down while it started");
            starts.await.unwrap_or_else(|_| Err(ended()))
        })
    }

    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        if !self.shared.is_connected() || *self.stop.borrow() {
            let error = unavailable(format!("{} is not connected", self.config.place()));
            return Box::pin(ready(Err(error)));
        }
        let (answer, answered) = oneshot::channel();
        // At the call, not when the future is polled: the order of the calls counts.
        if self.orders.try_send(Order::new(&event, answer)).is_err() {
            let error = unavailable(format!("{WAITING} events wait to be sent already"));
            return Box::pin(ready(Err(error)));
        }
        Box::pin(async move {
            let lost = || {
                let place = self.config.place();
                unavailable(format!("the connection to {place} was lost"))
            };
            answered.await.unwrap_or_else(|_| Err(lost()))
        })
    }

    fn subscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(ready(Ok(())))
    }

    fn unsubscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(ready(Ok(())))
    }

    fn covered(&self, channel: &Channel) -> Option<Covered> {
        let read = lock(&self.shared.read).clone()?;
        Some(Covered {
            epoch: Epoch::of_log(&read.log, channel),
            from: read.from,
            to: read.to,
        })
    }

    fn is_up(&self) -> bool {
        self.shared.is_connected() && self.shared.answers.load(Ordering::Acquire)
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.stop.send_replace(true);
        let task = lock(&self.task).take();
        Box::pin(async move {
            if let Some(mut task) = task
                && timeout(SHUTDOWN, &mut task).await.is_err()
            {
                task.abort();
            }
            self.shared.disconnected();
        })
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMq")
            .field("config", &self.config)
            .field("is_up", &self.is_up())
            .finish_non_exhaustive()
    }
}

/// What the broker and its task know of each other.
#[derive(Debug, Default)]
struct Shared {
    connected: AtomicBool,
    /// Whether the server has answered lately.
    answers: AtomicBool,
    read: Mutex<Option<Read>>,
    /// Publications whose place in the log is awaited, by origin and number.
    awaited: Mutex<HashMap<(u64, u64), Place>>,
}

/// Takes the position of a publication; none where it was a copy.
type Place = oneshot::Sender<Option<Position>>;

/// The part of a log that the ingress has been given.
#[derive(Clone, Debug)]
struct Read {
    log: Arc<str>,
    from: u64,
    to: u64,
}

impl Shared {
    fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    fn connected(&self) {
        self.answers.store(true, Ordering::Release);
        self.connected.store(true, Ordering::Release);
    }

    fn disconnected(&self) {
        self.connected.store(false, Ordering::Release);
        lock(&self.awaited).clear();
    }
}

/// The names of what a cluster has on the server.
#[derive(Debug)]
struct Names {
    events: String,
    live: String,
    generations: String,
}

impl Names {
    fn of(cluster: &str) -> Self {
        Self {
            events: format!("{cluster}.events"),
            live: format!("{cluster}.live"),
            generations: format!("{cluster}.logs"),
        }
    }

    fn log(&self, id: &str) -> String {
        format!("{}.{id}", self.events)
    }
}

/// Whether an event has a place in the log.
fn is_kept(event: &Event) -> bool {
    event.guarantee() != Guarantee::Ephemeral && !event.channel().is_of_nodes()
}

fn unavailable(sentence: impl Into<String>) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, sentence.into())
}

/// Nothing of ours is left half changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
