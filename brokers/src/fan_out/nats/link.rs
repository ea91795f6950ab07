//! NATS subjects as the link of a relay.
//!
//! ```text
//! CLUSTER.a              all nodes
//! CLUSTER.c.CHANNEL      all that listen to a channel
//! CLUSTER.n.NODE         one node
//! CLUSTER.n.NODE.x.TO    where the server says that TO is not there
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, StatusCode};
use bytes::Bytes;
use fanfare::{BrokerErrorKind, Channel};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::address::Address;
use super::session::{Failure, Session};
use crate::fan_out::relay::{Incoming, Link, NodeId};

/// Messages that may wait for the relay.
const QUEUE: usize = 1_024;
/// Messages that are handed to the relay at a time.
const BATCH: usize = 256;
/// The pause before a new attempt to connect, before it is spread. Shorter than the time for which
/// nodes listen before they take part.
const PAUSE: Duration = Duration::from_millis(400);
/// How long writing out may take at the end.
const FLUSH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct NatsLink {
    me: NodeId,
    cluster: Arc<str>,
    events: mpsc::Receiver<Came>,
    into: mpsc::Sender<Came>,
    session: Option<Arc<Session>>,
    /// Tasks that wait for what is cast to a channel.
    listening: HashMap<Channel, AbortHandle>,
    batch: Vec<Came>,
    /// Ends the connecting when it is dropped.
    _alive: watch::Sender<()>,
}

#[derive(Debug)]
enum Came {
    Up(Arc<Session>),
    Down(Failure),
    Message(Message),
}

impl NatsLink {
    /// Begins to connect.
    pub(super) fn new(me: NodeId, address: Address, cluster: &str) -> Self {
        let (into, events) = mpsc::channel(QUEUE);
        let (alive, ends) = watch::channel(());
        let cluster = Arc::from(cluster);
        tokio::spawn(connect(
            me,
            address,
            Arc::clone(&cluster),
            into.clone(),
            ends,
        ));
        Self {
            me,
            cluster,
            events,
            into,
            session: None,
            listening: HashMap::new(),
            batch: Vec::new(),
            _alive: alive,
        }
    }

    /// What is handed over after the connection was lost is lost.
    async fn publish(&self, subject: String, reply: Option<String>, message: Bytes) {
        let Some(session) = &self.session else {
            return;
        };
        let mut ends = session.ends();
        let publish = async {
            let _ = match reply {
                Some(reply) => {
                    session
                        .client
                        .publish_with_reply(subject, reply, message)
                        .await
                }
                None => session.client.publish(subject, message).await,
            };
        };
        tokio::select! {
            biased;
            () = publish => {}
            _ = ends.wait_for(|ended| *ended) => {}
        }
    }

    fn lost(&mut self) {
        self.session = None;
        for (_, task) in self.listening.drain() {
            task.abort();
        }
    }
}

impl Drop for NatsLink {
    fn drop(&mut self) {
        self.lost();
    }
}

impl Link for NatsLink {
    async fn receive(&mut self, into: &mut Vec<Incoming>) {
        self.events.recv_many(&mut self.batch, BATCH).await;
        for came in std::mem::take(&mut self.batch) {
            match came {
                Came::Up(session) => {
                    self.session = Some(session);
                    into.push(Incoming::Up);
                }
                Came::Down(reason) => {
                    self.lost();
                    into.push(Incoming::Down(BrokerErrorKind::Unavailable, reason));
                }
                Came::Message(message) if message.status == Some(StatusCode::NO_RESPONDERS) => {
                    let node = message.subject.rsplit('.').next();
                    let node = node.and_then(|node| NodeId::from_str_radix(node, 16).ok());
                    into.extend(node.map(Incoming::Unreachable));
                }
                Came::Message(message) => into.push(Incoming::Message(message.payload)),
            }
        }
    }

    async fn send(&mut self, to: NodeId, message: Bytes) {
        let subject = node(&self.cluster, to);
        let reply = format!("{}.x.{to:016x}", node(&self.cluster, self.me));
        self.publish(subject, Some(reply), message).await;
    }

    async fn cast(&mut self, channel: &Channel, message: Bytes) {
        let subject = format!("{}.c.{channel}", self.cluster);
        self.publish(subject, None, message).await;
    }

    async fn cast_all(&mut self, message: Bytes) {
        let subject = format!("{}.a", self.cluster);
        self.publish(subject, None, message).await;
    }

    async fn listen(&mut self, channel: &Channel) {
        let Some(session) = &self.session else {
            return;
        };
        let mut ends = session.ends();
        let subject = format!("{}.c.{channel}", self.cluster);
        let subscribed = tokio::select! {
            subscribed = subscribe(session, subject, self.into.clone()) => subscribed,
            _ = ends.wait_for(|ended| *ended) => return,
        };
        // Where it fails the connection is lost, which is told elsewhere.
        if let Ok(task) = subscribed
            && let Some(before) = self.listening.insert(channel.clone(), task)
        {
            before.abort();
        }
    }

    fn forget(&mut self, channel: &Channel) {
        if let Some(task) = self.listening.remove(channel) {
            task.abort();
        }
    }

    async fn close(&mut self) {
        if let Some(session) = &self.session {
            let _ = tokio::time::timeout(FLUSH, session.client.flush()).await;
        }
        self.lost();
    }
}

fn node(cluster: &str, node: NodeId) -> String {
    format!("{cluster}.n.{node:016x}")
}

/// Connects, again and again, until the link is dropped.
async fn connect(
    me: NodeId,
    address: Address,
    cluster: Arc<str>,
    into: mpsc::Sender<Came>,
    mut alive: watch::Receiver<()>,
) {
    let connecting = async {
        let mut told = false;
        loop {
            let failure = match begin(me, &address, &cluster, &into).await {
                Ok(session) => {
                    told = false;
                    if into.send(Came::Up(session.clone())).await.is_err() {
                        return;
                    }
                    session.lost().await
                }
                Err(failure) => failure,
            };
            if !std::mem::replace(&mut told, true) && into.send(Came::Down(failure)).await.is_err()
            {
                return;
            }
            tokio::time::sleep(PAUSE.mul_f64(rand::random_range(0.25..1.0))).await;
        }
    };
    tokio::select! {
        () = connecting => {}
        // Nothing is ever sent.
        _ = alive.changed() => {}
    }
}

/// A connection that hears what is meant for this node.
async fn begin(
    me: NodeId,
    address: &Address,
    cluster: &str,
    into: &mpsc::Sender<Came>,
) -> Result<Arc<Session>, Failure> {
    let session = Session::connect(address, "fanfare").await?;
    let own = node(cluster, me);
    for subject in [format!("{own}.x.*"), own, format!("{cluster}.a")] {
        subscribe(&session, subject, into.clone()).await?;
    }
    Ok(Arc::new(session))
}

async fn subscribe(
    session: &Session,
    subject: String,
    into: mpsc::Sender<Came>,
) -> Result<AbortHandle, Failure> {
    let take = move |message| {
        let into = into.clone();
        async move {
            // Nobody is there any more at the end.
            let _ = into.send(Came::Message(message)).await;
        }
    };
    session.listen(subject, take).await
}
