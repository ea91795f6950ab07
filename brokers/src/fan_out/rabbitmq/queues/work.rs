//! What one connection is for.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Consumer, ExchangeKind};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::link::{ALL, key, node};
use crate::fan_out::rabbitmq::config::{Config, QueueType};
use crate::fan_out::rabbitmq::connection::{Failure, Session, answer, name};
use crate::fan_out::rabbitmq::generation::text;
use crate::fan_out::rabbitmq::publication::{CONFIRM, Publication};
use crate::fan_out::rabbitmq::pulse::{self, question};
use crate::fan_out::rabbitmq::reader::acknowledge;
use crate::fan_out::relay::{Carriage, NodeId};

/// How many messages the server sends ahead of what was acknowledged.
const PREFETCH: u16 = 1_000;
/// How many messages are acknowledged at once.
const ACKNOWLEDGED: u64 = 200;
/// How many may be under way. They wait in the client library's buffers.
const UNDER_WAY: usize = 4_096;
/// How many messages wait for a node that is behind; then the oldest go.
const WAITING: i64 = 100_000;
const WAITING_BYTES: i64 = 64 << 20;
/// How long a quorum queue outlives its node, in milliseconds.
const EXPIRES: i64 = 60_000;
/// How long a message waits that is of no use later, in milliseconds.
const PASSING: &str = "2000";

/// What comes of a connection, and of the next.
#[derive(Debug)]
pub(super) enum Came {
    Up(mpsc::Sender<Order>),
    Down(Failure),
    Message(Bytes),
    /// Nobody has a queue for that node.
    Unreachable(NodeId),
}

/// What the link wants done, in order.
#[derive(Debug)]
pub(super) enum Order {
    Publish {
        to: ShortString,
        /// The node, where it is for one.
        node: Option<NodeId>,
        message: Bytes,
    },
    Bind(ShortString, oneshot::Sender<()>),
    Unbind(ShortString),
    /// Come to an end.
    Finish,
}

/// All that one connection is for.
pub(super) struct Work {
    exchange: String,
    queue: ShortString,
    queue_type: QueueType,
    consumer: Consumer,
    /// Confirms.
    publishing: Channel,
    /// For bindings.
    control: Channel,
    /// For questions.
    asking: Channel,
    _reading: Channel,
}

impl Work {
    /// Finds or makes what is to be on the server. Later attempts of one node take precedence over
    /// earlier ones that the server does not know to be over.
    pub(super) async fn open(
        session: &Session,
        config: &Config,
        me: NodeId,
        attempt: u32,
    ) -> Result<Self, Failure> {
        let exchange = format!("{}.nodes", config.cluster);
        let control = session.channel().await?;
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let declared = control.exchange_declare(
            name(&exchange),
            ExchangeKind::Topic,
            durable,
            FieldTable::default(),
        );
        answer("declaring the exchange of nodes", declared).await?;
        let reading = session.reading(PREFETCH).await?;
        let (queue, options, arguments) = described(config, &exchange, me);
        let declared = reading.queue_declare(queue, options, arguments);
        let declared = answer("declaring the node's queue", declared).await?;
        let publishing = session.channel().await?;
        let confirms = publishing.confirm_select(ConfirmSelectOptions::default());
        answer("asking for confirms", confirms).await?;
        let mut work = Self {
            queue: declared.name().clone(),
            queue_type: config.queues,
            consumer: consume(&reading, declared.name().clone(), attempt).await?,
            exchange,
            publishing,
            control,
            asking: session.channel().await?,
            _reading: reading,
        };
        for to in [key(ALL), key(&node(me))] {
            work.bind(to).await?;
        }
        Ok(work)
    }

    /// Works until the connection is lost, or until it has finished as it was ordered to.
    pub(super) async fn run(
        mut self,
        session: &Session,
        orders: mpsc::Receiver<Order>,
        into: &mpsc::Sender<Came>,
    ) -> Result<(), Failure> {
        let consumer = self.consumer.clone();
        let (asking, exchange) = (self.asking.clone(), self.exchange.clone());
        tokio::select! {
            written = self.write(orders, into) => written?,
            failure = read(consumer, into) => return Err(failure),
            failure = beat(session, &asking, &exchange) => return Err(failure),
        }
        if self.queue_type == QueueType::Quorum {
            let options = QueueDeleteOptions::default();
            let deleted = self.control.queue_delete(self.queue.clone(), options);
            answer("deleting the node's queue", deleted).await?;
        }
        Ok(())
    }

    /// Does what is ordered. What has to come behind confirmations waits for those, and what is
    /// published meanwhile goes before it.
    async fn write(
        &mut self,
        mut orders: mpsc::Receiver<Order>,
        into: &mpsc::Sender<Came>,
    ) -> Result<(), Failure> {
        let mut under_way = FuturesOrdered::new();
        let (mut handed_over, mut confirmed) = (0_u64, 0_u64);
        let mut behind = VecDeque::new();
        let mut finishing = false;
        loop {
            while behind.front().is_some_and(|(after, _)| *after <= confirmed)
                && let Some((_, parcel)) = behind.pop_front()
            {
                under_way.push_back(self.publish(parcel).await);
                handed_over += 1;
            }
            if finishing && under_way.is_empty() {
                return Ok(());
            }
            let takes = !finishing && under_way.len() + behind.len() < UNDER_WAY;
            tokio::select! {
                biased;
                Some(seen) = under_way.next() => {
                    confirmed += 1;
                    if let Some(node) = seen? {
                        // The relay waits for this task where it is behind; it finds out without.
                        let _ = into.try_send(Came::Unreachable(node));
                    }
                }
                order = orders.recv(), if takes => match order {
                    Some(Order::Publish { to, node, message }) => {
                        let carriage = Carriage::of(&message);
                        let parcel = Parcel { to, node, carriage, message };
                        if carriage == Carriage::Behind {
                            behind.push_back((handed_over, parcel));
                        } else {
                            under_way.push_back(self.publish(parcel).await);
                            handed_over += 1;
                        }
                    }
                    Some(Order::Bind(to, bound)) => {
                        self.bind(to).await?;
                        // Whoever does not wait any more does not need to know.
                        let _ = bound.send(());
                    }
                    Some(Order::Unbind(to)) => self.unbind(to).await?,
                    Some(Order::Finish) | None => finishing = true,
                },
            }
        }
    }

    /// Hands a message to the client library; the future that is returned sees it through, and says
    /// which node is not there.
    async fn publish(
        &self,
        parcel: Parcel,
    ) -> impl Future<Output = Result<Option<NodeId>, Failure>> + use<> {
        let Parcel {
            to,
            node,
            carriage,
            message,
        } = parcel;
        let options = BasicPublishOptions {
            mandatory: node.is_some(),
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default();
        let properties = match carriage {
            Carriage::Kept => properties.with_delivery_mode(2),
            Carriage::Behind | Carriage::Passing => {
                let expires = properties.with_expiration(PASSING.into());
                expires.with_delivery_mode(1)
            }
        };
        let to = (name(&self.exchange), to);
        let publication =
            Publication::hand_over(&self.publishing, to, options, properties, message);
        let publication = publication.await;
        let deadline = Instant::now() + CONFIRM;
        async move {
            let confirmed = timeout_at(deadline, confirmed(publication)).await;
            confirmed.unwrap_or_else(|_| {
                Err(Failure::away(
                    "the server takes in nothing, and says nothing",
                ))
            })
        }
    }

    async fn bind(&mut self, to: ShortString) -> Result<(), Failure> {
        let bound = self.control.queue_bind(
            self.queue.clone(),
            name(&self.exchange),
            to,
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        answer("binding the node's queue", bound).await
    }

    async fn unbind(&mut self, to: ShortString) -> Result<(), Failure> {
        let (queue, exchange) = (self.queue.clone(), name(&self.exchange));
        let unbound = self
            .control
            .queue_unbind(queue, exchange, to, FieldTable::default());
        answer("unbinding the node's queue", unbound).await
    }
}

/// A message on its way.
struct Parcel {
    to: ShortString,
    node: Option<NodeId>,
    carriage: Carriage,
    message: Bytes,
}

/// What the node's queue is to be.
fn described(
    config: &Config,
    exchange: &str,
    me: NodeId,
) -> (ShortString, QueueDeclareOptions, FieldTable) {
    let mut arguments = FieldTable::default();
    let mut argue = |name: &str, value| {
        arguments.insert(name.into(), value);
    };
    argue("x-max-length", AMQPValue::LongLongInt(WAITING));
    argue("x-max-length-bytes", AMQPValue::LongLongInt(WAITING_BYTES));
    match config.queues {
        // It goes with the connection, and the next has another: the server may still take the lost
        // one for alive, and would not give its queue away.
        QueueType::Classic => {
            let options = QueueDeclareOptions::exclusive().auto_delete();
            ("".into(), options, arguments)
        }
        QueueType::Quorum => {
            argue("x-queue-type", text("quorum"));
            argue("x-expires", AMQPValue::LongLongInt(EXPIRES));
            if let Some(replicas) = config.replicas {
                let replicas = AMQPValue::LongLongInt(replicas.into());
                argue("x-quorum-initial-group-size", replicas);
            }
            let queue = name(&format!("{exchange}.{me:016x}"));
            (queue, QueueDeclareOptions::durable(), arguments)
        }
    }
}

async fn consume(channel: &Channel, queue: ShortString, attempt: u32) -> Result<Consumer, Failure> {
    let mut arguments = FieldTable::default();
    let priority = i32::try_from(attempt).unwrap_or(i32::MAX);
    arguments.insert("x-priority".into(), AMQPValue::LongInt(priority));
    let consumed =
        channel.basic_consume(queue, "".into(), BasicConsumeOptions::default(), arguments);
    answer("reading the node's queue", consumed).await
}

/// Whether the server has taken a publication; the node to which it could not go.
async fn confirmed(publication: Publication) -> Result<Option<NodeId>, Failure> {
    let failed = |error: lapin::Error| Failure::of("publishing failed", &error);
    let confirm = publication.written().await.map_err(failed)?;
    match confirm.await.map_err(failed)? {
        Confirmation::Ack(None) | Confirmation::NotRequested => Ok(None),
        // The library may give it to another publication than the one that came back.
        Confirmation::Ack(Some(returned)) => {
            let to = returned.delivery.routing_key.as_str();
            let node = to.strip_prefix("n.");
            Ok(node.and_then(|node| NodeId::from_str_radix(node, 16).ok()))
        }
        Confirmation::Nack(_) => Err(Failure::away("the server could not keep a message")),
    }
}

/// Hands over what comes, until the connection fails.
async fn read(mut consumer: Consumer, into: &mpsc::Sender<Came>) -> Failure {
    let mut since_acknowledged = 0;
    while let Some(came) = consumer.next().await {
        let mut delivery = match came {
            Ok(delivery) => delivery,
            Err(error) => return Failure::of("reading the node's queue failed", &error),
        };
        let message = Bytes::from(std::mem::take(&mut delivery.data));
        // What the connection before had been sent and had not acknowledged.
        let is_late = delivery.redelivered && Carriage::of(&message) != Carriage::Kept;
        if !is_late && into.send(Came::Message(message)).await.is_err() {
            return Failure::away("the relay has ended");
        }
        since_acknowledged += 1;
        if since_acknowledged == ACKNOWLEDGED {
            since_acknowledged = 0;
            if let Err(failure) = acknowledge(&delivery).await {
                return failure;
            }
        }
    }
    Failure::away("the server ended the reading of the node's queue")
}

/// Asks the server for something small again and again: a server that was stopped, or is cut off,
/// closes nothing.
async fn beat(session: &Session, channel: &Channel, exchange: &str) -> Failure {
    loop {
        sleep(pulse::PAUSE).await;
        match timeout(
            pulse::ANSWER,
            question(channel, exchange, ExchangeKind::Topic),
        )
        .await
        {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Failure::of("asking for the exchange failed", &error),
            Err(_) => return Failure::away("the server does not answer"),
        }
        if !session.is_open() {
            return Failure::away("the server is short of memory or disk, and takes in nothing");
        }
    }
}
