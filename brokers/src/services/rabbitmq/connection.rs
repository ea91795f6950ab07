//! The connection, kept up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use fanfare::{BrokerError, BrokerErrorKind};
use futures_util::StreamExt;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Event, ExchangeKind};
use rand::Rng;
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};

use super::error::{answer, failed, rejected, short, unavailable};
use super::settle::Closing;
use super::topology::{Durability, Queue, Topology};

/// The pauses between attempts to connect again, with up to half as much added at random.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// For the whole of connecting and logging in.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Seconds. A server that vanishes without a word is missed after twice this.
const HEARTBEAT: u16 = 10;
/// How much longer than its connection something may take.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// RabbitMQ 4 gives up records of quorum queues after 20 deliveries unless told otherwise, and being
/// listed or released counts as one.
const DELIVERY_LIMIT: i64 = 1_000_000;

/// A connection while it lasts.
#[derive(Debug)]
pub(super) struct Live(Connection);

impl Live {
    /// A channel that confirms what is published on it.
    pub(super) async fn confirming(&self) -> Result<Channel, BrokerError> {
        let channel = self.channel().await?;
        let confirms = channel.confirm_select(lapin::options::ConfirmSelectOptions::default());
        answer("ask for confirms", confirms).await?;
        Ok(channel)
    }

    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        answer("open a channel", self.0.create_channel()).await
    }

    pub(super) fn is_up(&self) -> bool {
        self.0.status().connected()
    }
}

/// The connection as its users see it: there, or not.
#[derive(Clone, Debug)]
pub(super) struct Link(watch::Receiver<Option<Arc<Live>>>);

impl Link {
    /// The connection.
    ///
    /// # Errors
    /// Where there is none now.
    pub(super) fn now(&self) -> Result<Arc<Live>, BrokerError> {
        let live = self.0.borrow().clone();
        live.filter(|live| live.is_up())
            .ok_or_else(|| unavailable("there is no connection to the RabbitMQ server"))
    }

    /// The connection, once there is one.
    ///
    /// # Errors
    /// Where there is none for so long, or the engine was shut down.
    pub(super) async fn within(&mut self, patience: Duration) -> Result<Arc<Live>, BrokerError> {
        let there = self
            .0
            .wait_for(|live| live.as_ref().is_some_and(|live| live.is_up()));
        let there = timeout(patience, there).await;
        let live = there.map(|there| there.ok().and_then(|live| live.clone()));
        match live {
            Ok(Some(live)) => Ok(live),
            Ok(None) => {
                sleep(patience).await;
                Err(unavailable("the engine was shut down"))
            }
            Err(_) => Err(unavailable("there is no connection to the RabbitMQ server")),
        }
    }

    /// Awaits what is done on a connection, and not much longer than that lasts. None where it was lost.
    ///
    /// The client library answers what waits for an answer when its connection ends, but for what it is
    /// asked in the moment of the end (lapin 4.12): that waits for ever.
    pub(super) async fn while_lasts<T>(
        mut self,
        live: &Arc<Live>,
        done: impl Future<Output = T>,
    ) -> Option<T> {
        let lost = async {
            let other =
                |now: &Option<Arc<Live>>| !now.as_ref().is_some_and(|now| Arc::ptr_eq(now, live));
            // An error would be the end of the engine, which ends the connection as well.
            let _ = self.0.wait_for(other).await;
            sleep(LAST_WORDS).await;
        };
        tokio::select! {
            biased;
            done = done => Some(done),
            () = lost => None,
        }
    }
}

/// Connects once, and says how to keep that up.
pub(super) async fn connect(
    uri: AMQPUri,
    topology: Arc<Topology>,
) -> Result<(Link, Keeper), BrokerError> {
    let live = Arc::new(dial(&uri, &topology).await?);
    let (sender, receiver) = watch::channel(Some(live));
    let keeper = Keeper {
        uri,
        topology,
        live: sender,
    };
    Ok((Link(receiver), keeper))
}

/// What connects again whenever the connection is lost.
pub(super) struct Keeper {
    uri: AMQPUri,
    topology: Arc<Topology>,
    live: watch::Sender<Option<Arc<Live>>>,
}

impl Keeper {
    /// Keeps the connection until `stop` says so or is gone, then closes it.
    pub(super) async fn keep(self, mut stop: watch::Receiver<bool>, closing: Closing) {
        let keeping = async {
            loop {
                let live = self.live.borrow().clone();
                if let Some(live) = live {
                    lost(&live).await;
                }
                self.live.send_replace(None);
                tracing::warn!("the connection to RabbitMQ is lost");
                let live = self.dial_again().await;
                tracing::info!("connected to RabbitMQ again");
                self.live.send_replace(Some(Arc::new(live)));
            }
        };
        tokio::select! {
            () = keeping => {}
            _ = async { stop.wait_for(|stop| *stop).await.map(drop) } => {}
        }
        closing.ended().await;
        if let Some(live) = self.live.send_replace(None) {
            // Whatever was sent before it has been dealt with when the server answers.
            let closed = live.0.close(200, "OK".into());
            let _ = timeout(CONNECT_WITHIN, closed).await;
        }
    }

    async fn dial_again(&self) -> Live {
        let mut pause = FIRST_PAUSE;
        loop {
            let jitter = rand::rng().random_range(0.0..0.5);
            sleep(pause.mul_f64(1.0 + jitter)).await;
            match Box::pin(dial(&self.uri, &self.topology)).await {
                Ok(live) => return live,
                Err(error) => tracing::debug!(?error, "RabbitMQ is still away"),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Resolves once a connection is gone.
async fn lost(live: &Live) {
    let mut events = pin!(live.0.events_listener());
    // Errors of channels are events as well, and one of the connection may come before it is known to
    // be gone: so it is asked, now and again.
    let mut asking = interval(Duration::from_millis(250));
    while live.is_up() {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Error(_)) => sleep(Duration::from_millis(10)).await,
                Some(_) => {}
                None => return,
            },
            _ = asking.tick() => {}
        }
    }
}

/// Connects and declares what is missing.
async fn dial(uri: &AMQPUri, topology: &Topology) -> Result<Live, BrokerError> {
    let mut uri = uri.clone();
    uri.query.heartbeat = uri.query.heartbeat.or(Some(HEARTBEAT));
    let properties =
        ConnectionProperties::default().with_connection_name(LongString::from("fanfare"));
    let address = format!("{}:{}", uri.authority.host, uri.authority.port);
    let connecting = Connection::connect_uri(uri, properties);
    let connection = match timeout(CONNECT_WITHIN, Box::pin(connecting)).await {
        Ok(connected) => connected
            .map_err(|error| failed(&format!("connect to RabbitMQ at {address}"), error))?,
        Err(_) => {
            return Err(unavailable(format!(
                "cannot connect to RabbitMQ at {address}: it does not answer"
            )));
        }
    };
    let live = Live(connection);
    tokio::select! {
        biased;
        declared = Box::pin(declare(&live, topology)) => declared?,
        () = async { lost(&live).await; sleep(LAST_WORDS).await } => {
            return Err(unavailable(format!(
                "cannot connect to RabbitMQ at {address}: it ended the connection"
            )));
        }
    }
    Ok(live)
}

async fn declare(live: &Live, topology: &Topology) -> Result<(), BrokerError> {
    let channel = live.channel().await?;
    for exchange in [&topology.exchange, &topology.dead_letters.exchange] {
        let options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let declared = channel.exchange_declare(
            short(exchange)?,
            ExchangeKind::Topic,
            options,
            FieldTable::default(),
        );
        answer(&format!("declare exchange {exchange}"), declared).await?;
    }
    let failed = &topology.dead_letters;
    let mut arguments = FieldTable::default();
    kind(topology.durability, &mut arguments);
    declare_queue(&channel, &failed.queue, arguments).await?;
    bind(
        &channel,
        &failed.queue,
        &failed.exchange,
        &failed.binding_key,
    )
    .await?;
    for queue in &topology.queues {
        declare_group(&channel, topology, queue).await?;
    }
    answer("close a channel", channel.close(200, "OK".into())).await
}

/// Declares a group's queue and binds it.
pub(super) async fn declare_group(
    channel: &Channel,
    topology: &Topology,
    queue: &Queue,
) -> Result<(), BrokerError> {
    let mut arguments = FieldTable::default();
    kind(topology.durability, &mut arguments);
    if topology.durability == Durability::Quorum {
        at_least_once(&mut arguments);
    }
    dead_letters_to(
        &topology.dead_letters.exchange,
        &queue.dead_letter_key(),
        &mut arguments,
    );
    declare_queue(channel, &queue.name, arguments).await?;
    for key in &queue.binding_keys {
        bind(channel, &queue.name, &topology.exchange, key).await?;
    }
    Ok(())
}

/// Declares the queue in which a group's records wait for `pause`, after which they go back to the
/// group's queue and to no other. One queue for each pause, because a queue lets go of records at its
/// head only. These are quorum queues in any case: only they hand on expired records without ever
/// having them in neither queue.
pub(super) async fn declare_retry(
    channel: &Channel,
    name: &str,
    group_queue: &str,
    pause: Duration,
) -> Result<(), BrokerError> {
    let mut arguments = FieldTable::default();
    kind(Durability::Quorum, &mut arguments);
    at_least_once(&mut arguments);
    dead_letters_to("", group_queue, &mut arguments);
    let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(pause));
    declare_queue(channel, name, arguments).await
}

/// Whether there is such a queue. The channel is of no use afterwards where there is none.
pub(super) async fn exists(channel: &Channel, name: &str) -> Result<bool, BrokerError> {
    let passive = QueueDeclareOptions::default().passive();
    let declared = channel.queue_declare(short(name)?, passive, FieldTable::default());
    match answer(&format!("look for queue {name}"), declared).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == BrokerErrorKind::Rejected => Ok(false),
        Err(error) => Err(error),
    }
}

async fn declare_queue(
    channel: &Channel,
    name: &str,
    arguments: FieldTable,
) -> Result<(), BrokerError> {
    if name.is_empty() || name.starts_with("amq.") {
        return Err(rejected(format!("{name:?} is no name for a queue")));
    }
    let declared = channel.queue_declare(short(name)?, QueueDeclareOptions::durable(), arguments);
    answer(&format!("declare queue {name}"), declared).await?;
    Ok(())
}

async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    key: &str,
) -> Result<(), BrokerError> {
    let bound = channel.queue_bind(
        short(queue)?,
        short(exchange)?,
        short(key)?,
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    answer(&format!("bind queue {queue} to {exchange}"), bound).await
}

fn kind(durability: Durability, arguments: &mut FieldTable) {
    if durability == Durability::Quorum {
        arguments.insert("x-queue-type".into(), text("quorum"));
        arguments.insert(
            "x-delivery-limit".into(),
            AMQPValue::LongLongInt(DELIVERY_LIMIT),
        );
    }
}

/// Dead letters leave a quorum queue only once the next one has them. The server wants the overflow
/// rule beside it, though nothing here overflows.
fn at_least_once(arguments: &mut FieldTable) {
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
}

fn dead_letters_to(exchange: &str, key: &str, arguments: &mut FieldTable) {
    arguments.insert("x-dead-letter-exchange".into(), text(exchange));
    arguments.insert("x-dead-letter-routing-key".into(), text(key));
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}
