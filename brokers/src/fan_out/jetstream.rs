//! NATS JetStream.

mod config;
mod line;
mod log;
mod run;

use std::fmt;
use std::future::ready;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fanfare::broker::{Broker, BrokerError, BrokerErrorKind, Covered, Guarantees, Published};
use fanfare::{BoxFuture, Channel, Event, Ingress};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub use self::config::Config;
use self::line::Line;
use self::log::Log;
use super::nats::UrlError;

/// How long connecting may take at the start.
const START: Duration = Duration::from_secs(5);
/// How long the end waits for what is under way.
const FINISH: Duration = Duration::from_secs(5);

/// A cluster of nodes over NATS JetStream: one stream is the log of all events, the sequence in it is
/// an event's offset.
///
/// # How
/// Each channel is a subject, `CLUSTER.e.CHANNEL`: names of channels are names of subjects as they
/// are. Publishing is pipelined over one connection, which keeps the order of the calls, and an event
/// is accepted when the stream has acknowledged it. Every node reads the whole stream through a
/// consumer of its own, which lives in the server's memory and needs no acknowledgements.
/// [Ephemeral](fanfare::Guarantee::Ephemeral) events, and what nodes tell each other, go over plain
/// subjects, `CLUSTER.l.CHANNEL`.
///
/// Events have no headers and no `Nats-Msg-Id`: nodes tell copies by their
/// [`Stamp`](fanfare::Stamp), also those that come later than any window of the server.
///
/// # When the server is away
/// The connection is asked every half second whether it lives. When it is lost everything under way
/// fails as unavailable, and nothing of it is sent again behind the back of the node. A new
/// connection is tried every 100 ms to 1 s; the reader goes on after what it has read.
///
/// # What a server may lose
/// JetStream acknowledges what it has written to the system's cache, and syncs every two minutes
/// (`sync_interval`). What it acknowledged survives its own crash; a power cut of a single server may
/// take the last of it, unless `sync_interval` is `always` or the log has replicas elsewhere. A node
/// that finds the log shorter than it was gives its positions another epoch.
pub struct JetStream {
    shared: Arc<Shared>,
    /// Ends the tasks, also by being dropped.
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl JetStream {
    /// A broker that is not connected yet.
    ///
    /// # Errors
    /// [`UrlError`] where a number makes no sense.
    pub fn new(config: Config) -> Result<Self, UrlError> {
        config.check()?;
        let shared = Shared {
            config,
            line: Mutex::default(),
            log: Mutex::default(),
            under_way: watch::Sender::new(0),
            down: AtomicBool::new(false),
        };
        Ok(Self {
            shared: Arc::new(shared),
            stop: watch::Sender::new(false),
            task: Mutex::default(),
        })
    }

    /// A broker by its URL, see [`Config`]; not connected yet.
    ///
    /// # Errors
    /// [`UrlError`] says what of the URL is wrong.
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        Self::new(url.parse()?)
    }
}

impl fmt::Debug for JetStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStream")
            .field("config", &self.shared.config)
            .field("is_up", &self.is_up())
            .finish_non_exhaustive()
    }
}

impl Broker for JetStream {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            name: "nats+jetstream",
            ordered: true,
            durable: true,
            replayable: true,
            shared_positions: true,
        }
    }

    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let (started, connected) = (oneshot::channel(), oneshot::channel());
            let progress = run::Progress {
                connected: Some(connected.0),
                started: Some(started.0),
            };
            let run = run::run(
                self.shared.clone(),
                ingress,
                progress,
                self.stop.subscribe(),
            );
            *lock(&self.task) = Some(tokio::spawn(run));
            let ended = || unavailable("the broker was shut down while it started");
            match tokio::time::timeout(START, connected.1).await {
                Ok(connected) => connected.map_err(|_| ended())?,
                Err(_) => Err(format!(
                    "NATS at {} did not answer within {START:?}",
                    self.shared.config.address
                )),
            }
            .map_err(|failure| {
                self.stop.send_replace(true);
                unavailable(failure)
            })?;
            let started = started.1.await.map_err(|_| ended())?;
            started.map_err(unavailable)
        })
    }

    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        let Some(line) = self.shared.line() else {
            let refused = match self.shared.down.load(Ordering::Acquire) {
                true => unavailable("the broker is shut down"),
                false => unavailable("there is no connection to NATS"),
            };
            return Box::pin(ready(Err(refused)));
        };
        let under_way = UnderWay::new(&self.shared);
        match line.send(&self.shared.config.cluster, &event) {
            Ok(sent) => Box::pin(async move {
                let _under_way = under_way;
                sent.accepted(&event).await
            }),
            Err(refused) => Box::pin(ready(Err(refused))),
        }
    }

    fn subscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(ready(Ok(())))
    }

    fn unsubscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(ready(Ok(())))
    }

    fn covered(&self, channel: &Channel) -> Option<Covered> {
        let log = lock(&self.shared.log).clone();
        log.map(|log| log.covered(channel))
    }

    fn is_up(&self) -> bool {
        self.shared.line().is_some()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.shared.down.store(true, Ordering::Release);
        Box::pin(async move {
            let mut under_way = self.shared.under_way.subscribe();
            let finished = under_way.wait_for(|count| *count == 0);
            let _ = tokio::time::timeout(FINISH, finished).await;
            let line = lock(&self.shared.line).take();
            if let Some(line) = line {
                line.flush().await;
            }
            self.stop.send_replace(true);
            let task = lock(&self.task).take();
            if let Some(task) = task {
                let _ = task.await;
            }
        })
    }
}

/// What the broker and its tasks share.
struct Shared {
    config: Config,
    /// Where events go while there is a connection.
    line: Mutex<Option<Arc<Line>>>,
    log: Mutex<Option<Arc<Log>>>,
    under_way: watch::Sender<usize>,
    down: AtomicBool,
}

impl Shared {
    fn line(&self) -> Option<Arc<Line>> {
        if self.down.load(Ordering::Acquire) {
            return None;
        }
        lock(&self.line).clone().filter(|line| line.is_up())
    }
}

/// Counts a call of `publish` until its future is done or dropped.
struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.under_way.send_modify(|count| *count += 1);
        Self(shared.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|count| *count -= 1);
    }
}

/// Nothing of ours panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(sentence: impl Into<String>) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, sentence.into())
}
