//! A broker between nodes of one process: a log in memory, as logs elsewhere are.

#![allow(dead_code, reason = "each suite uses its part")]

use std::collections::HashMap;
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use fanfare::broker::{Broker, BrokerError, BrokerErrorKind, Covered, Guarantees, Published};
use fanfare::{BoxFuture, Channel, Epoch, Event, Guarantee, Ingress, Position};
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

/// What nodes share, by the name of their cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bus {
    clusters: Arc<Mutex<HashMap<String, Arc<Log>>>>,
}

#[derive(Debug)]
struct Log {
    records: Mutex<Vec<Bytes>>,
    /// Told of the length of the log, or of what is not in it.
    news: broadcast::Sender<News>,
    down: std::sync::atomic::AtomicBool,
}

#[derive(Clone, Debug)]
enum News {
    Longer,
    Live(Bytes),
}

/// A node's link to it.
#[derive(Debug)]
pub(crate) struct Link {
    log: Arc<Log>,
    covered: Arc<AtomicU64>,
    from: AtomicU64,
    reading: OnceLock<AbortHandle>,
    /// How many of the newest records a node reads that starts.
    back: u64,
    /// Held back by so much from the end, for a node that is behind.
    pub(crate) behind: Arc<tokio::sync::watch::Sender<bool>>,
}

impl Bus {
    pub(crate) fn attach(&self, cluster: &str) -> Link {
        self.attach_back(cluster, u64::MAX)
    }

    pub(crate) fn attach_back(&self, cluster: &str, back: u64) -> Link {
        let mut clusters = self.clusters.lock().unwrap();
        let log = clusters.entry(cluster.to_owned()).or_insert_with(|| {
            Arc::new(Log {
                records: Mutex::default(),
                news: broadcast::channel(65_536).0,
                down: Default::default(),
            })
        });
        Link {
            log: log.clone(),
            covered: Arc::default(),
            from: AtomicU64::new(1),
            reading: OnceLock::new(),
            back,
            behind: Arc::default(),
        }
    }

    /// Takes the server of a cluster away, or brings it back.
    pub(crate) fn set_down(&self, cluster: &str, down: bool) {
        let clusters = self.clusters.lock().unwrap();
        let log = &clusters[cluster];
        log.down.store(down, Ordering::SeqCst);
    }
}

impl Link {
    fn epoch(channel: &Channel) -> Epoch {
        Epoch::of_log("bus", channel)
    }

    fn catch_up(
        log: &Log,
        ingress: &Ingress,
        covered: &AtomicU64,
        begins: bool,
        up_to: Option<usize>,
    ) {
        loop {
            let next = covered.load(Ordering::SeqCst);
            let record = {
                let records = log.records.lock().unwrap();
                let end = up_to.unwrap_or(records.len());
                let at = usize::try_from(next).unwrap();
                records.get(at).filter(|_| at < end).cloned()
            };
            let Some(record) = record else { return };
            let event = Event::decode(record).unwrap();
            let position = Position {
                epoch: Self::epoch(event.channel()),
                offset: next + 1,
            };
            let _ = ingress.deliver_at(event, position, begins);
            covered.store(next + 1, Ordering::SeqCst);
        }
    }
}

impl Broker for Link {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            name: "bus",
            ordered: true,
            durable: true,
            replayable: true,
            shared_positions: true,
        }
    }

    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>> {
        let (log, covered) = (self.log.clone(), self.covered.clone());
        let mut news = log.news.subscribe();
        let end = log.records.lock().unwrap().len();
        let from = (end as u64).saturating_sub(self.back);
        covered.store(from, Ordering::SeqCst);
        self.from.store(from + 1, Ordering::SeqCst);
        Self::catch_up(&log, &ingress, &covered, true, Some(end));
        let mut behind = self.behind.subscribe();
        let reading = tokio::spawn(async move {
            while let Ok(came) = news.recv().await {
                behind.wait_for(|behind| !behind).await.unwrap();
                match came {
                    News::Longer => Self::catch_up(&log, &ingress, &covered, false, None),
                    News::Live(frame) => {
                        let _ = ingress.deliver(Event::decode(frame).unwrap());
                    }
                }
            }
        });
        let _ = self.reading.set(reading.abort_handle());
        Box::pin(ready(Ok(())))
    }

    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        if !self.is_up() {
            let error = BrokerError::new(BrokerErrorKind::Unavailable, "the bus is away");
            return Box::pin(ready(Err(error)));
        }
        let frame = event.encode();
        let position = if event.guarantee() == Guarantee::Ephemeral {
            let _ = self.log.news.send(News::Live(frame));
            None
        } else {
            let mut records = self.log.records.lock().unwrap();
            records.push(frame);
            let _ = self.log.news.send(News::Longer);
            Some(Position {
                epoch: Self::epoch(event.channel()),
                offset: records.len() as u64,
            })
        };
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(Published { position })
        })
    }

    fn subscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(ready(Ok(())))
    }

    fn unsubscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(ready(Ok(())))
    }

    fn covered(&self, channel: &Channel) -> Option<Covered> {
        Some(Covered {
            epoch: Self::epoch(channel),
            from: self.from.load(Ordering::SeqCst),
            to: self.covered.load(Ordering::SeqCst),
        })
    }

    fn is_up(&self) -> bool {
        let reads = self
            .reading
            .get()
            .is_some_and(|reading| !reading.is_finished());
        reads && !self.log.down.load(Ordering::SeqCst)
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(reading) = self.reading.get() {
                reading.abort();
                while !reading.is_finished() {
                    tokio::task::yield_now().await;
                }
            }
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(reading) = self.reading.get() {
            reading.abort();
        }
    }
}
