//! One connection: commands in, frames out.

mod batch;
mod inbound;
mod outbound;
pub(crate) mod outbox;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use rand::Rng;
use tokio::time::Instant;
use uuid::Uuid;

pub use self::batch::Batch;
pub use self::outbound::Outbound;
pub use self::outbox::DirectWrite;
use crate::auth::{Handshake, Identity};
use crate::channel::Channel;
use crate::codec::{Codec, Since, Subscribed};
use crate::disconnect::Disconnect;
use crate::error::{Error, ErrorKind};
use crate::framing::Framing;
use crate::hub::connection::{Connection, Timers};
use crate::hub::directory::Full;
use crate::metrics;
use crate::node::Node;
use crate::recovery::{Recovery, recover, resume_after};
use crate::sync::Mutex;

/// What a transport knows of a connection when it opens a session for it.
#[derive(Debug)]
pub struct Opening {
    /// The transport's name, a metric label: `websocket`, `sse`, `long_poll`, `socket_io`, or one
    /// of your own.
    pub transport: &'static str,
    /// The dialect.
    pub codec: Arc<dyn Codec>,
    /// How messages lie on the wire.
    pub framing: Arc<dyn Framing>,
    /// The request, for an authenticator that needs more than a token.
    pub handshake: Handshake,
    /// Who the client is, where that was settled before the connection was opened.
    pub identity: Option<Identity>,
    /// Channels to subscribe to from the start.
    pub channels: Vec<Channel>,
}

/// One connection of a client. Owned by the transport that carries it; dropping it ends the
/// connection's subscriptions.
#[derive(Debug)]
pub struct Session {
    node: Node,
    connection: Arc<Connection>,
    /// What connecting needs; gone once that is done.
    opening: Option<Box<Welcome>>,
}

#[derive(Debug)]
struct Welcome {
    handshake: Handshake,
    identity: Option<Identity>,
    channels: Vec<Channel>,
}

impl Session {
    pub(crate) fn new(node: Node, opening: Opening, worker: usize) -> Self {
        let shared = &node.hub().shared;
        let form = node.wire_form(opening.codec, opening.framing);
        let timers = Timers::default();
        let connect_by = shared.at(Instant::now() + shared.config.limits.handshake);
        timers.connect_by.store(connect_by, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            id: Uuid::new_v4(),
            transport: shared.metrics.transport(opening.transport),
            worker,
            outbox: outbox::Outbox::new(form, shared.config.buffers.outbox),
            timers,
            opened_at: SystemTime::now(),
            identity: Mutex::new(None),
            subscriptions: Mutex::new(Vec::new()),
        });
        shared.workers[worker].wheel.lock().add(&connection);
        let opening = Some(Box::new(Welcome {
            handshake: opening.handshake,
            identity: opening.identity,
            channels: opening.channels,
        }));
        Self {
            node,
            connection,
            opening,
        }
    }

    /// Where the transport takes finished frames.
    #[must_use]
    pub fn outbound(&self) -> Outbound {
        Outbound::new(&self.connection)
    }

    /// Who the client is, once it has connected.
    #[must_use]
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.connection.identity()
    }

    /// The node that the session is on.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Lets a recognized client in.
    fn admit(&mut self, identity: Identity) -> Result<(), Disconnect> {
        let shared = &self.node.hub().shared;
        let limits = &shared.config.limits;
        let admitted = self.node.hub().directory.admit(
            &identity.user,
            &self.connection,
            limits.connections_per_user,
            limits.connections,
        );
        if let Err(Full::User | Full::Node) = admitted {
            metrics::connection_rejected("connection_limit");
            return Err(Disconnect::CONNECTION_LIMIT);
        }
        let transport = &self.connection.transport;
        transport.connections.increment(1.0);
        transport.opened.increment(1);
        self.set_identity(identity);
        let timers = &self.connection.timers;
        timers.connect_by.store(0, Ordering::Relaxed);
        // The first ping at a random moment: ten thousand clients that came at once must not be
        // pinged at once for ever.
        let interval = shared.config.heartbeat.ping.as_secs().max(1);
        let first = u32::try_from(rand::rng().random_range(1..=interval)).unwrap_or(u32::MAX / 2);
        timers
            .next_ping
            .store(shared.now() + first, Ordering::Relaxed);
        shared.workers[self.connection.worker]
            .wheel
            .lock()
            .add(&self.connection);
        Ok(())
    }

    fn set_identity(&self, identity: Identity) {
        let shared = &self.node.hub().shared;
        let expires = match identity.expires_at {
            None => 0,
            Some(at) => {
                let left = at.duration_since(SystemTime::now()).unwrap_or_default();
                let grace = shared.config.heartbeat.expiry_grace;
                Instant::now()
                    .checked_add(left + grace)
                    .map_or(0, |end| shared.at(end))
            }
        };
        self.connection
            .timers
            .expires
            .store(expires, Ordering::Relaxed);
        shared.workers[self.connection.worker]
            .wheel
            .lock()
            .add(&self.connection);
        *self.connection.identity.lock() = Some(Arc::new(identity));
    }

    fn is_subscribed(&self, channel: &Channel) -> bool {
        self.connection
            .subscriptions
            .lock()
            .iter()
            .any(|s| s.channel() == channel)
    }

    /// Joins a channel that the client may have. Its flushes follow the reply made of the result;
    /// the caller holds the outbox until that is queued.
    async fn join(&self, channel: &Channel, since: Option<&Since>) -> Result<Subscribed, Error> {
        let limits = &self.node.config().limits;
        if self.connection.subscriptions.lock().len() >= limits.subscriptions {
            let message = format!(
                "a connection may have {} subscriptions",
                limits.subscriptions
            );
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        self.node.subscribe_broker(channel).await?;
        let hub = self.node.hub();
        let (subscription, flushed) = hub.join(channel, &self.connection);
        self.connection.subscriptions.lock().push(subscription);
        let Some(since) = since else {
            return Ok(Subscribed {
                position: flushed,
                was_recovering: false,
                recovered: false,
                publications: Vec::new(),
            });
        };
        let recovery = match resume_after(since, flushed) {
            None => Recovery {
                recovered: false,
                publications: Vec::new(),
            },
            Some(after) => {
                match hub
                    .shared
                    .store
                    .read(channel, after, flushed.offset, usize::MAX)
                    .await
                {
                    Ok(page) => recover(after, flushed, page),
                    Err(error) => {
                        self.leave(channel);
                        return Err(crate::node::unread(&error));
                    }
                }
            }
        };
        let metrics = &hub.shared.metrics;
        let counter = if recovery.recovered {
            &metrics.recovered
        } else {
            &metrics.not_recovered
        };
        counter.increment(1);
        // Each recovered publication moves the client on from where it stood.
        let offset = if recovery.publications.is_empty() {
            flushed.offset
        } else {
            since.offset
        };
        Ok(Subscribed {
            position: crate::event::Position { offset, ..flushed },
            was_recovering: true,
            recovered: recovery.recovered,
            publications: recovery.publications,
        })
    }

    fn leave(&self, channel: &Channel) -> bool {
        let mut subscriptions = self.connection.subscriptions.lock();
        let Some(at) = subscriptions.iter().position(|s| s.channel() == channel) else {
            return false;
        };
        let subscription = subscriptions.swap_remove(at);
        drop(subscriptions);
        self.node.hub().leave(&self.connection, subscription);
        true
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whoever still holds the connection must not queue anything more for it.
        self.connection.outbox.close(Disconnect::CONNECTION_CLOSED);
        for subscription in self.connection.subscriptions.lock().drain(..) {
            self.node.hub().leave(&self.connection, subscription);
        }
        if let Some(identity) = self.connection.identity() {
            self.node
                .hub()
                .directory
                .remove(&identity.user, &self.connection);
            self.connection.transport.connections.decrement(1.0);
        }
        self.node.session_ended();
    }
}
