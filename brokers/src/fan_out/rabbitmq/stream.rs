//! With a stream as log.

use std::collections::HashMap;
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

use super::config::Config;
use super::link::Link;
use super::writer::Order;

/// How many events may wait to be sent. Further ones are unavailable at once.
const WAITING: usize = 16_384;
/// How long a shutdown may take: a little more than what is under way may.
const SHUTDOWN: Duration = Duration::from_secs(7);

/// A node of a cluster whose log is a stream.
#[derive(Debug)]
pub(super) struct Stream {
    config: Config,
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    stop: watch::Sender<bool>,
    /// The other end of `orders`, until it starts.
    receiver: Mutex<Option<mpsc::Receiver<Order>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Stream {
    /// One that connects when it is started, by a configuration that was checked.
    pub(super) fn new(config: Config) -> Self {
        let (orders, receiver) = mpsc::channel(WAITING);
        Self {
            config,
            shared: Arc::default(),
            orders,
            stop: watch::Sender::new(false),
            receiver: Mutex::new(Some(receiver)),
            task: Mutex::default(),
        }
    }
}

impl Broker for Stream {
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

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

/// What the broker and its task know of each other.
#[derive(Debug, Default)]
pub(super) struct Shared {
    connected: AtomicBool,
    /// Whether the server has answered lately.
    pub(super) answers: AtomicBool,
    pub(super) read: Mutex<Option<Read>>,
    /// Publications whose place in the log is awaited, by origin and number.
    pub(super) awaited: Mutex<HashMap<(u64, u64), Place>>,
}

/// Takes the position of a publication; none where it was a copy.
pub(super) type Place = oneshot::Sender<Option<Position>>;

/// The part of a log that the ingress has been given.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) log: Arc<str>,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Shared {
    fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    pub(super) fn connected(&self) {
        self.answers.store(true, Ordering::Release);
        self.connected.store(true, Ordering::Release);
    }

    pub(super) fn disconnected(&self) {
        self.connected.store(false, Ordering::Release);
        lock(&self.awaited).clear();
    }
}

/// The names of what a cluster has on the server.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) events: String,
    pub(super) live: String,
    pub(super) generations: String,
}

impl Names {
    pub(super) fn of(cluster: &str) -> Self {
        Self {
            events: format!("{cluster}.events"),
            live: format!("{cluster}.live"),
            generations: format!("{cluster}.logs"),
        }
    }

    pub(super) fn log(&self, id: &str) -> String {
        format!("{}.{id}", self.events)
    }
}

/// Whether an event has a place in the log.
pub(super) fn is_kept(event: &Event) -> bool {
    event.guarantee() != Guarantee::Ephemeral && !event.channel().is_of_nodes()
}

pub(super) fn unavailable(sentence: impl Into<String>) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, sentence.into())
}

/// Nothing of ours is left half changed by a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
