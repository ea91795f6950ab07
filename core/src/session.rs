//! One connection: commands in, frames out.

mod batch;
mod inbound;
mod outbound;
pub(crate) mod outbox;
mod poll;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rand::Rng;
use tokio::time::Instant;
use uuid::Uuid;

pub use self::batch::Batch;
pub use self::inbound::Refusal;
pub use self::outbound::Outbound;
pub use self::outbox::DirectWrite;
pub use self::poll::Polled;
use crate::auth::{Handshake, Identity};
use crate::channel::Channel;
use crate::codec::{Codec, Since, Subscribed};
use crate::cursor::Resume;
use crate::disconnect::Disconnect;
use crate::error::{Error, ErrorKind};
use crate::event::Publication;
use crate::framing::Framing;
use crate::hub::connection::{Connection, Timers};
use crate::metrics;
use crate::node::Node;
use crate::position::Position;
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
    /// Whether the user's own channel, `user.{id}`, is one of them.
    pub own_channel: bool,
    /// By what the client's other requests name this session, where its commands do not come the
    /// way the frames go. Whoever knows it can speak for the client.
    pub session: Option<String>,
}

/// One connection of a client. Owned by the transport that carries it; dropping it ends the
/// connection's subscriptions.
#[derive(Debug)]
pub struct Session {
    node: Node,
    connection: Arc<Connection>,
    /// What connecting needs; gone once that is done.
    opening: Option<Box<Welcome>>,
    /// What the client's cursor says of channels that it has not subscribed to yet.
    resume: Option<Box<Resume>>,
}

#[derive(Debug)]
struct Welcome {
    handshake: Handshake,
    identity: Option<Identity>,
    channels: Vec<Channel>,
    own_channel: bool,
    session: Option<String>,
}

impl Session {
    pub(crate) fn new(node: Node, opening: Opening, worker: usize) -> Self {
        let shared = &node.hub().shared;
        let heartbeat = &shared.config.heartbeat;
        let (ping_every, pong_within) = if opening.codec.expects_pong() {
            (heartbeat.ping, heartbeat.pong)
        } else {
            (heartbeat.comment, Duration::ZERO)
        };
        let form = node.wire_form(opening.codec, opening.framing);
        let timers = Timers {
            ping_every: whole_seconds(ping_every),
            pong_within: whole_seconds(pong_within),
            ..Timers::default()
        };
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
            sees: AtomicU64::new(0),
            subscriptions: Mutex::new(Vec::new()),
        });
        shared.workers[worker].wheel.lock().add(&connection);
        let opening = Some(Box::new(Welcome {
            handshake: opening.handshake,
            identity: opening.identity,
            channels: opening.channels,
            own_channel: opening.own_channel,
            session: opening.session,
        }));
        Self {
            node,
            connection,
            opening,
            resume: None,
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

    /// Changes how messages lie on the wire from here on, where a connection moves to another kind
    /// of socket. Events that wait are framed anew; of other frames that wait, `reframe` is given
    /// the bytes of the old framing and makes those of the new. The batch that was taken last counts
    /// as written.
    pub fn reframe(&mut self, framing: Arc<dyn Framing>, reframe: impl Fn(&[u8]) -> Bytes) {
        let codec = self.connection.outbox.form().codec.clone();
        let form = self.node.wire_form(codec, framing);
        self.connection.outbox.reframe(form, reframe);
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
        if let Err(full) = admitted {
            metrics::connection_rejected("connection_limit");
            shared.connection_refused(Some(&identity.user), full.into());
            return Err(Disconnect::CONNECTION_LIMIT);
        }
        if let Some(gossip) = &shared.gossip {
            let connection = &self.connection;
            gossip.connected(&identity.user, connection.id, connection.opened_at);
        }
        let transport = &self.connection.transport;
        transport.connections.increment(1.0);
        transport.opened.increment(1);
        self.set_identity(identity);
        let timers = &self.connection.timers;
        timers.connect_by.store(0, Ordering::Relaxed);
        // The first ping at a random moment: ten thousand clients that came at once must not be
        // pinged at once for ever.
        let first = rand::rng().random_range(1..=timers.ping_every.max(1));
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
        let sees = shared.visibility.of(&identity);
        self.connection.sees.store(sees.bits(), Ordering::Relaxed);
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
    async fn join(
        &mut self,
        channel: &Channel,
        since: Option<&Since>,
        follow: bool,
    ) -> Result<Subscribed, Error> {
        let limits = &self.node.config().limits;
        if self.connection.subscriptions.lock().len() >= limits.subscriptions {
            let message = format!(
                "a connection may have {} subscriptions",
                limits.subscriptions
            );
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        self.node.subscribe_broker(channel).await?;
        let resume = self.resume.as_deref();
        let brought = resume.and_then(|resume| resume.position(channel));
        let since = since.cloned().or(brought.map(Since::from));
        let hub = self.node.hub();
        if let Some(since) = &since {
            hub.catch_up(channel, since).await?;
        }
        let (subscription, mut flushed) = hub.join(channel, &self.connection, follow);
        if let Some(since) = &since {
            flushed = hub.shown(channel, since, flushed);
        }
        self.connection.subscriptions.lock().push(subscription);
        let subscribed = match since {
            Some(since) => self.recover(channel, &since, flushed, usize::MAX).await,
            None => self.begin(channel, flushed).await,
        };
        match &subscribed {
            Ok(subscribed) => {
                let outbox = &self.connection.outbox;
                outbox.set_position(channel, subscribed.position);
                // Only now: whoever fails may try again from there.
                if let Some(resume) = &mut self.resume {
                    resume.take(channel);
                }
                if self.is_own(channel) {
                    outbox.follow_own(channel, flushed);
                }
            }
            Err(_) => {
                self.leave(channel);
            }
        }
        subscribed
    }

    /// What a client gets that says where it stands: the oldest `limit` of what it missed and may see.
    async fn recover(
        &self,
        channel: &Channel,
        since: &Since,
        flushed: Position,
        limit: usize,
    ) -> Result<Subscribed, Error> {
        let shared = &self.node.hub().shared;
        let recovery = match resume_after(since, flushed) {
            None => Recovery {
                recovered: false,
                publications: Vec::new(),
            },
            Some(after) => {
                let sees = self.connection.sees();
                let hides = shared.visibility.hides_from(sees);
                // How much of a page is hidden is known once it is read.
                let most = if hides { usize::MAX } else { limit };
                let page = shared.ledger.read(channel, after, flushed.offset, most);
                let mut page = page.await.map_err(|error| crate::node::unread(&error))?;
                if hides {
                    shared.visibility.retain(&mut page.publications, sees);
                    page.publications.truncate(limit);
                }
                if self.is_own(channel) {
                    // It would not ask from there had it not received what came before.
                    let position = Position {
                        offset: after,
                        ..flushed
                    };
                    let received = Some((channel.clone(), position));
                    self.connection.note_receipt(received, shared);
                }
                recover(after, flushed, page)
            }
        };
        Ok(Subscribed {
            channel: channel.clone(),
            position: before(&recovery.publications, flushed),
            was_recovering: true,
            recovered: recovery.recovered,
            publications: recovery.publications,
        })
    }

    /// Counts what a client that says where it stands is told.
    fn count_recovery(&self, subscribed: &Subscribed) {
        let metrics = &self.node.hub().shared.metrics;
        match (subscribed.was_recovering, subscribed.recovered) {
            (false, _) => {}
            (true, true) => metrics.recovered.increment(1),
            (true, false) => metrics.not_recovered.increment(1),
        }
    }

    /// What a client gets that does not say where it stands: what comes from now on, and of its
    /// user's own channel what waited while the user was away.
    async fn begin(&self, channel: &Channel, flushed: Position) -> Result<Subscribed, Error> {
        let publications = if self.is_own(channel) {
            self.missed_while_away(channel, flushed).await?
        } else {
            Vec::new()
        };
        Ok(Subscribed {
            channel: channel.clone(),
            position: before(&publications, flushed),
            was_recovering: false,
            recovered: false,
            publications,
        })
    }

    async fn missed_while_away(
        &self,
        channel: &Channel,
        flushed: Position,
    ) -> Result<Vec<Arc<Publication>>, Error> {
        let shared = &self.node.hub().shared;
        let store = &shared.ledger;
        let known = store
            .receipt(channel)
            .filter(|receipt| receipt.position.epoch == flushed.epoch);
        let Some(receipt) = known else {
            // The user is here for the first time: what comes from now on is owed.
            let received = Some((channel.clone(), flushed));
            self.connection.note_receipt(received, shared);
            return Ok(Vec::new());
        };
        let after = receipt.position.offset.min(flushed.offset);
        let page = store.read(channel, after, flushed.offset, usize::MAX);
        let page = page.await.map_err(|error| crate::node::unread(&error))?;
        let mut publications = page.publications;
        let oldest = shared.config.limits.away;
        publications.retain(|publication| publication.event().age() <= oldest);
        shared
            .visibility
            .retain(&mut publications, self.connection.sees());
        Ok(publications)
    }

    /// Whether a channel is the user's own, for which the node remembers what was received.
    fn is_own(&self, channel: &Channel) -> bool {
        let mut segments = channel.segments();
        segments.next() == Some("user")
            && segments.next() == self.identity().as_deref().map(|identity| &*identity.user)
            && segments.next().is_none()
    }

    fn leave(&self, channel: &Channel) -> bool {
        let mut subscriptions = self.connection.subscriptions.lock();
        let Some(at) = subscriptions.iter().position(|s| s.channel() == channel) else {
            return false;
        };
        let subscription = subscriptions.swap_remove(at);
        drop(subscriptions);
        self.node.hub().leave(&self.connection, subscription);
        self.connection.outbox.forget_position(channel);
        true
    }
}

/// Where a client stands before it has read `publications`, of which `flushed` is the last.
fn before(publications: &[Arc<Publication>], flushed: Position) -> Position {
    let first = publications.first().and_then(|first| first.position());
    match first {
        Some(first) => Position {
            offset: first.offset - 1,
            ..first
        },
        None => flushed,
    }
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX / 2)
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
            if let Some(gossip) = &self.node.hub().shared.gossip {
                gossip.disconnected(&identity.user, self.connection.id);
            }
            self.connection.transport.connections.decrement(1.0);
        }
        self.node.session_ended();
    }
}
