//! Kafka as the log of a cluster of nodes.
//!
//! Two topics carry everything, `{cluster}.events` and `{cluster}.live`. Each lane of channels has its
//! place in one partition of the first, with the channel's name as the key, so that other programs can
//! read it too. The second has one partition, and what is ephemeral or between nodes only.
//!
//! Every node reads all partitions by itself, without a consumer group. Its offsets in them, plus 1,
//! are the positions of events, the same on every node.
//!
//! An event is accepted once all replicas that are in sync have it (`acks=all`). With one replica that
//! is one broker, which has written it but not synced it: that outlives the end of its process, not of
//! its machine. With more, the machine too; set `min.insync.replicas` to 2 or more where that must hold
//! while replicas are away. Should a log lose its end all the same, nodes notice, and give the log
//! another identity, so that no client takes new events for those that were lost.

mod config;
mod link;
mod positions;
mod reader;
mod topics;
mod writer;

use std::fmt;
use std::future::ready;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use fanfare::broker::{Broker, BrokerError, BrokerErrorKind, Covered, Guarantees, Published};
use fanfare::{BoxFuture, Channel, Event, Guarantee, Ingress};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};

pub use self::config::{Config, Login, UrlError};
use self::link::Link;
use self::positions::Positions;
use self::writer::{Writer, failure};

/// How long a shutdown waits for what is under way.
const FINISHED_WITHIN: Duration = Duration::from_secs(5);

/// Carries events by Kafka: ordered, durable, replayable, with positions that all nodes share.
///
/// Costs three clients of librdkafka, with a thread for each broker that they talk to, and two threads
/// of its own. A node asks twice a second whether Kafka answers. Where it does not within a second it is
/// not up; after another second all that is under way fails as unavailable, and publishing is refused
/// until it answers again. Nothing is kept to be sent later. At most 100,000 events, or 128 MiB of them,
/// wait to be confirmed; those beyond are refused as unavailable.
///
/// A node needs to be allowed to describe, read and write the topics, and to create them and alter their
/// configuration where it is to do that.
///
/// Metrics: `fanfare_broker_lag` is the number of events in the log that this node has not read, over all
/// partitions, every five seconds; `fanfare_events_dropped_total{reason="undecodable"}`.
pub struct Kafka {
    config: Config,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    link: Mutex<Start>,
}

enum Start {
    Not,
    Begun,
    Linked(JoinHandle<()>),
    Ended,
}

/// What publishing needs of the link.
#[derive(Debug)]
struct Shared {
    events: String,
    live: String,
    positions: RwLock<Arc<Positions>>,
    way: RwLock<Way>,
    /// Kafka has answered when it was asked last.
    answers: AtomicBool,
}

/// The way to Kafka.
#[derive(Debug)]
enum Way {
    Open(Arc<Writer>),
    Lost,
    /// Shut down.
    Closed,
}

impl Kafka {
    /// A broker by these numbers. Connects to nothing.
    ///
    /// # Errors
    /// [`UrlError::Value`] where one of them cannot be.
    pub fn new(config: Config) -> Result<Self, UrlError> {
        config.check()?;
        let shared = Arc::new(Shared {
            events: config.events_topic(),
            live: config.live_topic(),
            positions: RwLock::new(Arc::new(Positions::unknown())),
            way: RwLock::new(Way::Lost),
            answers: AtomicBool::new(true),
        });
        Ok(Self {
            config,
            shared,
            stop: watch::Sender::new(false),
            link: Mutex::new(Start::Not),
        })
    }

    /// A broker by a URL; see [`Config::from_url`]. Connects to nothing.
    ///
    /// # Errors
    /// [`UrlError`] names what is wrong.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        Self::new(Config::from_url(url)?)
    }

    fn replace(&self, start: Start) -> Start {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut link, start)
    }
}

impl Broker for Kafka {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            name: "kafka",
            ordered: true,
            durable: true,
            replayable: true,
            shared_positions: true,
        }
    }

    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            {
                let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
                if !matches!(*link, Start::Not) {
                    let text = "a Kafka broker serves one node, and is started once";
                    return Err(BrokerError::new(BrokerErrorKind::Rejected, text));
                }
                *link = Start::Begun;
            }
            let shared = self.shared.clone();
            let link = Link::connect(self.config.clone(), shared, ingress).await;
            let link = match link {
                Ok(link) => link,
                Err(error) => {
                    self.replace(Start::Not);
                    return Err(error);
                }
            };
            self.shared.open(link.writer());
            let stopped = self.stop.subscribe();
            let task = tokio::spawn(link.keep(stopped));
            self.replace(Start::Linked(task));
            Ok(())
        })
    }

    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        let live = event.guarantee() == Guarantee::Ephemeral || event.channel().is_of_nodes();
        let positions = self.shared.positions();
        let (topic, partition) = if live {
            (&self.shared.live, 0)
        } else {
            (&self.shared.events, positions.partition(event.channel()))
        };
        let frame = event.encode();
        let key = event.channel().as_str();
        let sent = self.shared.send(topic, partition, key, &frame);
        let confirmed = match sent {
            Ok(confirmed) => confirmed,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let channel = event.channel().clone();
        Box::pin(async move {
            match confirmed.await {
                Ok(Ok(offset)) => Ok(Published {
                    position: (!live).then(|| positions.at(&channel, offset)),
                }),
                Ok(Err(error)) => Err(failure(error)),
                Err(_) => Err(unavailable("the connection to Kafka was given up")),
            }
        })
    }

    fn subscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(ready(Ok(())))
    }

    fn unsubscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(ready(Ok(())))
    }

    fn covered(&self, channel: &Channel) -> Option<Covered> {
        Some(self.shared.positions().covered(channel))
    }

    fn is_up(&self) -> bool {
        self.shared.answers.load(Ordering::Acquire) && matches!(*self.shared.way(), Way::Open(_))
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let until = Instant::now() + FINISHED_WITHIN;
            if let Way::Open(writer) = self.shared.close() {
                while writer.unconfirmed() > 0 && Instant::now() < until {
                    sleep(Duration::from_millis(10)).await;
                }
                retire(writer);
            }
            self.stop.send_replace(true);
            if let Start::Linked(task) = self.replace(Start::Ended) {
                // It ends by itself; a panic in it has been told.
                let _ = task.await;
            }
        })
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // The link sees that the other end of `stop` is gone, and ends.
        self.shared.close();
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka")
            .field("config", &self.config)
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn positions(&self) -> Arc<Positions> {
        let positions = self.positions.read();
        positions.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read_from(&self, positions: Arc<Positions>) {
        let known = self.positions.write();
        *known.unwrap_or_else(PoisonError::into_inner) = positions;
    }

    fn way(&self) -> std::sync::RwLockReadGuard<'_, Way> {
        self.way.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(
        &self,
        topic: &str,
        partition: usize,
        key: &str,
        frame: &[u8],
    ) -> Result<writer::Confirmed, BrokerError> {
        match &*self.way() {
            Way::Open(writer) => writer.send(topic, partition, key, frame),
            Way::Lost => Err(unavailable("Kafka does not answer")),
            Way::Closed => Err(unavailable("the broker was shut down")),
        }
    }

    fn open(&self, writer: Arc<Writer>) {
        self.turn(|way| match way {
            Way::Closed => Way::Closed,
            Way::Open(_) | Way::Lost => Way::Open(writer),
        });
        self.answers.store(true, Ordering::Release);
    }

    fn lose(&self) {
        self.turn(|way| match way {
            Way::Closed => Way::Closed,
            Way::Open(_) | Way::Lost => Way::Lost,
        });
    }

    fn close(&self) -> Way {
        let mut way = self.way.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut way, Way::Closed)
    }

    fn turn(&self, next: impl FnOnce(&Way) -> Way) {
        let mut way = self.way.write().unwrap_or_else(PoisonError::into_inner);
        *way = next(&way);
    }
}

/// Drops a client of librdkafka, which blocks, away from the tasks.
fn retire<T: Send + 'static>(client: T) {
    drop(spawn_blocking(move || drop(client)));
}

/// Runs what blocks where it may. Not cancelled when the future is dropped.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        // The runtime ends, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

fn unavailable(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, reason)
}
