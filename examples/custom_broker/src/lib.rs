//! A broker of one's own: a Redis stream as the log of a cluster.
//!
//! This is all that a broker needs. The node does the rest: it numbers the runs by which readers tell
//! copies, sends again what was in doubt, keeps what it accepts while Redis is away, and reads nothing
//! but what the broker hands over. `fanfare::testing::broker` proves it (`tests/conformance.rs`).
//!
//! An event is added by a script that gives it the next whole number as id, so that positions are
//! short. What Redis promises for a crash is up to its `appendonly` and `appendfsync`.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fanfare::broker::{Broker, BrokerError, BrokerErrorKind, Covered, Guarantees, Published};
use fanfare::{BoxFuture, Channel, Epoch, Event, Guarantee, Ingress, Position};
use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, cmd};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// Redis gives no position twice, also when several nodes add at once.
const ADD: &str = "local n = redis.call('INCR', KEYS[2])
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], n .. '-0', 'e', ARGV[1])
return n";
/// Events that the stream keeps, and that a node reads when it starts.
const KEPT: u64 = 100_000;
const PATIENCE: Duration = Duration::from_secs(2);

/// Events by a Redis stream.
#[derive(Debug)]
pub struct RedisStreams {
    shared: Arc<Shared>,
    reading: Mutex<Option<AbortHandle>>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    cluster: String,
    /// For publishing; none while Redis is away.
    connection: Mutex<Option<MultiplexedConnection>>,
    log: Mutex<String>,
    from: AtomicU64,
    to: AtomicU64,
}

type Records = Vec<(String, (String, Vec<u8>))>;

impl RedisStreams {
    /// A broker for one node of the named cluster. Connects when the node starts.
    ///
    /// # Errors
    /// Of kind [`Rejected`](BrokerErrorKind::Rejected) where the URL is none of Redis.
    pub fn new(url: &str, cluster: &str) -> Result<Self, BrokerError> {
        let client = Client::open(url)
            .map_err(|error| BrokerError::new(BrokerErrorKind::Rejected, error))?;
        Ok(Self {
            shared: Arc::new(Shared {
                client,
                cluster: cluster.to_owned(),
                connection: Mutex::default(),
                log: Mutex::default(),
                from: AtomicU64::new(1),
                to: AtomicU64::new(0),
            }),
            reading: Mutex::default(),
        })
    }
}

impl Shared {
    fn key(&self, what: &str) -> String {
        format!("{}:{what}", self.cluster)
    }

    async fn connect(&self, patience: Duration) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(patience));
        let client = &self.client;
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// Reads until the connection is lost. `started` is told once what was there has been handed over.
    async fn read(&self, ingress: &Ingress, started: &mut bool) -> RedisResult<()> {
        let mut connection = self.connect(PATIENCE).await?;
        let (events, last, id) = (self.key("events"), self.key("last"), self.key("id"));
        // The name of the stream's incarnation: another one where Redis has lost it.
        let made: u64 = cmd("TIME")
            .query_async::<(u64, u64)>(&mut connection)
            .await?
            .1;
        let _: bool = cmd("SETNX")
            .arg(&id)
            .arg(made)
            .query_async(&mut connection)
            .await?;
        let log: String = cmd("GET").arg(&id).query_async(&mut connection).await?;
        let end: Option<u64> = cmd("GET").arg(&last).query_async(&mut connection).await?;
        let end = end.unwrap_or(0);
        let first = cmd("XRANGE")
            .arg(&events)
            .arg("-")
            .arg("+")
            .arg("COUNT")
            .arg(1)
            .to_owned();
        let first: Records = first.query_async(&mut connection).await?;
        let first = first.first().map_or(end + 1, |(id, _)| number(id));
        let same = std::mem::replace(&mut *lock(&self.log), log.clone()) == log;
        if !*started || !same || self.to.load(SeqCst) + 1 < first {
            let from = first.max((end + 1).saturating_sub(KEPT));
            self.from.store(from, SeqCst);
            self.to.store(from - 1, SeqCst);
        }
        let mut live = self.client.get_async_pubsub().await?;
        live.subscribe(self.key("live")).await?;
        let mut live = live.into_on_message();
        let mut reader = self.connect(PATIENCE * 2).await?;
        let next = async {
            loop {
                let after = self.to.load(SeqCst);
                let begins = after < end;
                if !begins && !*started {
                    *started = true;
                }
                if !begins && lock(&self.connection).is_none() {
                    *lock(&self.connection) = Some(connection.clone());
                }
                let mut read = cmd("XREAD");
                let read = read.arg("COUNT").arg(500).arg("BLOCK").arg(500);
                let read = read.arg("STREAMS").arg(&events).arg(format!("{after}-0"));
                let came: Option<Vec<(String, Records)>> = read.query_async(&mut reader).await?;
                for (id, (_, frame)) in came.into_iter().flatten().flat_map(|(_, records)| records)
                {
                    let offset = number(&id);
                    if let Ok(event) = Event::decode(frame.into()) {
                        let epoch = Epoch::of_log(&log, event.channel());
                        let _ =
                            ingress.deliver_at(event, Position { epoch, offset }, offset <= end);
                    }
                    self.to.store(offset, SeqCst);
                }
            }
        };
        let hear = async {
            while let Some(message) = live.next().await {
                if let Ok(event) = Event::decode(message.get_payload_bytes().to_vec().into()) {
                    let _ = ingress.deliver(event);
                }
            }
        };
        tokio::select! {
            lost = next => lost,
            () = hear => Ok(()),
        }
    }

    async fn run(self: Arc<Self>, ingress: Ingress, mut started: bool) {
        loop {
            let _ = self.read(&ingress, &mut started).await;
            *lock(&self.connection) = None;
            sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Broker for RedisStreams {
    fn guarantees(&self) -> Guarantees {
        Guarantees {
            name: "redis",
            ordered: true,
            durable: true,
            replayable: true,
            shared_positions: true,
        }
    }

    fn start(&self, ingress: Ingress) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            self.shared.connect(PATIENCE).await.map_err(away)?;
            let reading = tokio::spawn(self.shared.clone().run(ingress, false));
            *lock(&self.reading) = Some(reading.abort_handle());
            while !self.is_up() {
                sleep(Duration::from_millis(2)).await;
            }
            Ok(())
        })
    }

    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        let connection = lock(&self.shared.connection).clone();
        let shared = self.shared.clone();
        Box::pin(async move {
            let gone = || BrokerError::new(BrokerErrorKind::Unavailable, "Redis is away");
            let mut connection = connection.ok_or_else(gone)?;
            let frame = event.encode().to_vec();
            if event.guarantee() == Guarantee::Ephemeral {
                let mut tell = cmd("PUBLISH");
                tell.arg(shared.key("live")).arg(frame);
                let () = tell.query_async(&mut connection).await.map_err(away)?;
                return Ok(Published { position: None });
            }
            let mut add = cmd("EVAL");
            add.arg(ADD)
                .arg(2)
                .arg(shared.key("events"))
                .arg(shared.key("last"));
            add.arg(frame).arg(KEPT);
            let added = timeout(PATIENCE, add.query_async::<u64>(&mut connection)).await;
            let offset = added.map_err(|_| gone())?.map_err(away)?;
            let epoch = Epoch::of_log(&lock(&shared.log), event.channel());
            Ok(Published {
                position: Some(Position { epoch, offset }),
            })
        })
    }

    fn subscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async { Ok(()) })
    }

    fn unsubscribe(&self, _channels: Vec<Channel>) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async { Ok(()) })
    }

    fn covered(&self, channel: &Channel) -> Option<Covered> {
        Some(Covered {
            epoch: Epoch::of_log(&lock(&self.shared.log), channel),
            from: self.shared.from.load(SeqCst),
            to: self.shared.to.load(SeqCst),
        })
    }

    fn is_up(&self) -> bool {
        lock(&self.shared.connection).is_some()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        lock(&self.reading).take().inspect(AbortHandle::abort);
        *lock(&self.shared.connection) = None;
        Box::pin(async {})
    }
}

impl Drop for RedisStreams {
    fn drop(&mut self) {
        lock(&self.reading).take().inspect(AbortHandle::abort);
    }
}

fn number(id: &str) -> u64 {
    let whole = id.split('-').next().unwrap_or_default();
    whole.parse().unwrap_or(0)
}

fn away(error: RedisError) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, error)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
