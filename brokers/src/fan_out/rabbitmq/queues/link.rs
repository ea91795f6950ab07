//! Queues of nodes as the link of a relay.
//!
//! ```text
//! a         all nodes
//! l.LANE    all that listen to a channel of a lane
//! n.NODE    one node
//! ```

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use fanfare::Channel;
use lapin::types::ShortString;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::work::{Came, Order, Work};
use crate::fan_out::rabbitmq::config::Config;
use crate::fan_out::rabbitmq::connection::{Failure, Session, name};
use crate::fan_out::relay::{Incoming, Link, NodeId};

/// Messages that may wait for the relay.
const QUEUE: usize = 1_024;
/// Messages that are handed to the relay at a time.
const BATCH: usize = 256;
/// Orders that may wait for the connection.
const ORDERS: usize = 1_024;
/// The pause before a new attempt to connect, before it is spread. Shorter than the time for which
/// nodes listen before they take part.
const PAUSE: Duration = Duration::from_millis(400);
/// How long writing out may take at the end.
const FINISH: Duration = Duration::from_secs(3);

pub(super) struct QueueLink {
    events: mpsc::Receiver<Came>,
    /// Where there is a connection.
    orders: Option<mpsc::Sender<Order>>,
    /// Lanes whose messages this node is given, for the sake of these channels.
    lanes: HashMap<usize, HashSet<Channel>>,
    batch: Vec<Came>,
    task: JoinHandle<()>,
}

impl QueueLink {
    /// Begins to connect.
    pub(super) fn new(me: NodeId, config: Config) -> Self {
        let (into, events) = mpsc::channel(QUEUE);
        Self {
            events,
            orders: None,
            lanes: HashMap::new(),
            batch: Vec::new(),
            task: tokio::spawn(connect(me, config, into)),
        }
    }

    /// What is handed over after the connection was lost is lost.
    async fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order).await;
        }
    }

    async fn publish(&self, to: String, node: Option<NodeId>, message: Bytes) {
        let to = key(&to);
        let order = Order::Publish { to, node, message };
        self.order(order).await;
    }
}

impl Drop for QueueLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link for QueueLink {
    async fn receive(&mut self, into: &mut Vec<Incoming>) {
        self.events.recv_many(&mut self.batch, BATCH).await;
        for came in std::mem::take(&mut self.batch) {
            into.push(match came {
                Came::Up(orders) => {
                    self.orders = Some(orders);
                    Incoming::Up
                }
                Came::Down(Failure { kind, sentence }) => {
                    self.orders = None;
                    self.lanes.clear();
                    Incoming::Down(kind, sentence)
                }
                Came::Message(message) => Incoming::Message(message),
                Came::Unreachable(node) => Incoming::Unreachable(node),
            });
        }
    }

    async fn send(&mut self, to: NodeId, message: Bytes) {
        self.publish(node(to), Some(to), message).await;
    }

    async fn cast(&mut self, channel: &Channel, message: Bytes) {
        self.publish(lane(channel.lane()), None, message).await;
    }

    async fn cast_all(&mut self, message: Bytes) {
        self.publish(ALL.to_owned(), None, message).await;
    }

    async fn listen(&mut self, channel: &Channel) {
        let number = channel.lane();
        let channels = self.lanes.entry(number).or_default();
        let is_new = channels.is_empty();
        channels.insert(channel.clone());
        if is_new {
            let (bound, binds) = oneshot::channel();
            self.order(Order::Bind(key(&lane(number)), bound)).await;
            // Where it fails the connection is lost, which is told elsewhere.
            let _ = binds.await;
        }
    }

    fn forget(&mut self, channel: &Channel) {
        let number = channel.lane();
        let Some(channels) = self.lanes.get_mut(&number) else {
            return;
        };
        channels.remove(channel);
        if !channels.is_empty() {
            return;
        }
        self.lanes.remove(&number);
        if let Some(orders) = &self.orders {
            // Where the connection is that busy the node is given what it does not need.
            let _ = orders.try_send(Order::Unbind(key(&lane(number))));
        }
    }

    async fn close(&mut self) {
        if self.orders.is_some() {
            let finished = async {
                self.order(Order::Finish).await;
                let _ = (&mut self.task).await;
            };
            let _ = timeout(FINISH, finished).await;
        }
    }
}

pub(super) const ALL: &str = "a";

fn lane(number: usize) -> String {
    format!("l.{number}")
}

pub(super) fn node(node: NodeId) -> String {
    format!("n.{node:016x}")
}

pub(super) fn key(text: &str) -> ShortString {
    name(text)
}

/// Connects, again and again, until it has finished or is aborted.
async fn connect(me: NodeId, config: Config, into: mpsc::Sender<Came>) {
    let mut told = false;
    for attempt in 1.. {
        let failure = match begin(me, &config, attempt).await {
            Ok((session, work)) => {
                told = false;
                let (orders, queue) = mpsc::channel(ORDERS);
                if into.send(Came::Up(orders)).await.is_err() {
                    return;
                }
                match Box::pin(work.run(&session, queue, &into)).await {
                    Ok(()) => return session.close().await,
                    Err(failure) => failure,
                }
            }
            Err(failure) => failure,
        };
        if !std::mem::replace(&mut told, true) && into.send(Came::Down(failure)).await.is_err() {
            return;
        }
        sleep(PAUSE.mul_f64(rand::random_range(0.25..1.0))).await;
    }
}

/// A connection that hears what is meant for this node.
async fn begin(me: NodeId, config: &Config, attempt: u32) -> Result<(Session, Work), Failure> {
    let session = Box::pin(Session::connect(config)).await?;
    let work = Box::pin(Work::open(&session, config, me, attempt)).await?;
    Ok((session, work))
}
