//! One server's share of the system.

mod fan_out;
mod interest;
mod lifecycle;
mod publish;
mod services;
mod topics;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::task::AbortHandle;
use tracing::warn;

use crate::auth::{Action, AuthError, Authenticator, Authorizer, Handshake, Identity};
use crate::broker::{Broker, BrokerError, BrokerErrorKind, Guarantees, Spill};
use crate::builder::NodeBuilder;
use crate::catalog::Catalog;
use crate::channel::Channel;
use crate::cluster::{Answer, Info, Question, Speaking};
use crate::codec::{Codec, Since};
use crate::config::Config;
use crate::disconnect::Disconnect;
use crate::dispatch::Dispatch;
use crate::error::{Error, ErrorKind};
use crate::event::Publication;
use crate::framing::Framing;
use crate::history::HistoryError;
use crate::hub::Hub;
use crate::hub::directory::Full;
use crate::limits::RateLimits;
use crate::metrics;
use crate::notice::{ConnectionScope, Notices};
use crate::position::Position;
use crate::presence::Member;
use crate::session::{Opening, Session};
use crate::sink::SinkStatus;
use crate::sync::Mutex;
use crate::visibility::RoleSets;
use crate::wire::{MAX_FORMS, WireForm};

use self::fan_out::FanOut;
use self::interest::Interest;
use self::services::Services;

/// One server's share of the system: its channels, its connections, its link to the other nodes.
///
/// Cloning costs a reference count. The node's tasks end when its last clone and last session do.
#[derive(Clone, Debug)]
pub struct Node(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: String,
    hub: Arc<Hub>,
    broker: Arc<dyn Broker>,
    /// The way to a broker that may be away.
    dispatch: Option<Dispatch<FanOut>>,
    /// Where events wait while such a broker is away.
    spill: Option<Arc<dyn Spill>>,
    /// The way to the topics of backend services.
    services: Option<Services>,
    /// What such a broker is asked for.
    interest: Option<Interest>,
    /// What speaks for this node to the others, until it is dropped.
    _speaking: Option<Speaking>,
    authenticator: Arc<dyn Authenticator>,
    authorizer: Arc<dyn Authorizer>,
    catalog: Option<Arc<Catalog>>,
    limits: RateLimits,
    forms: Mutex<Vec<Arc<WireForm>>>,
    /// Sessions, authenticated or not.
    sessions: AtomicUsize,
    next_worker: AtomicUsize,
    /// Publications that have been let in and are not accepted yet.
    publishing: AtomicUsize,
    draining: AtomicBool,
    /// Whether it was when the node looked last.
    broker_was_up: AtomicBool,
    upkeep: Mutex<Option<AbortHandle>>,
}

/// A connection as operators see it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The connection's id.
    pub client: String,
    /// The transport's name.
    pub transport: String,
    /// When it was opened.
    pub connected_at: SystemTime,
    /// Its subscriptions.
    pub channels: Vec<Channel>,
}

impl Node {
    /// Begins to put a node together.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::default()
    }

    /// Opens a session for a connection that a transport carries.
    ///
    /// # Errors
    /// [`Disconnect::SHUTDOWN`] while the node drains; [`Disconnect::CONNECTION_LIMIT`] where there
    /// are too many connections, authenticated or not.
    pub fn open(&self, opening: Opening) -> Result<Session, Disconnect> {
        if self.is_draining() {
            metrics::connection_rejected("draining");
            return Err(Disconnect::SHUTDOWN);
        }
        let most = self.config().limits.connections;
        // Those that have not said who they are must not lock out the others, nor be without bound.
        let most = most.saturating_add((most / 10).max(64));
        if self.0.sessions.fetch_add(1, Ordering::AcqRel) >= most {
            self.0.sessions.fetch_sub(1, Ordering::AcqRel);
            metrics::connection_rejected("connection_limit");
            let user = opening.identity.as_ref().map(|identity| &*identity.user);
            self.0
                .hub
                .shared
                .connection_refused(user, ConnectionScope::Node);
            return Err(Disconnect::CONNECTION_LIMIT);
        }
        let worker =
            self.0.next_worker.fetch_add(1, Ordering::Relaxed) % self.0.hub.shared.workers.len();
        Ok(Session::new(self.clone(), opening, worker))
    }

    pub(crate) fn session_ended(&self) {
        self.0.sessions.fetch_sub(1, Ordering::AcqRel);
    }

    /// Says who a client is.
    ///
    /// # Errors
    /// [`AuthError`] where it is nobody we know.
    pub async fn authenticate(
        &self,
        token: Option<&str>,
        handshake: &Handshake,
    ) -> Result<Identity, AuthError> {
        let token = token.or(handshake.token.as_deref());
        self.0.authenticator.authenticate(token, handshake).await
    }

    /// Whether a client may do something.
    ///
    /// # Errors
    /// The refusal.
    pub async fn authorize(&self, identity: &Identity, action: Action<'_>) -> Result<(), Error> {
        self.0.authorizer.authorize(identity, action).await
    }

    /// Whether another connection of this user would be let in now, with those that the user has on
    /// other nodes.
    ///
    /// Asks them, for up to a second, where it is they who make it too many. For transports that can
    /// refuse before they open a session: that it would not is noticed as a refused connection.
    ///
    /// # Errors
    /// The refusal, of kind [`LimitExceeded`](ErrorKind::LimitExceeded).
    pub async fn has_room_for(&self, user: &str) -> Result<(), Error> {
        self.verify_elsewhere(user).await;
        let limits = &self.config().limits;
        self.0
            .hub
            .directory
            .has_room(user, limits.connections_per_user, limits.connections)
            .map_err(|full| {
                self.0
                    .hub
                    .shared
                    .connection_refused(Some(user), full.into());
                let whose = match full {
                    Full::User => "the user",
                    Full::Node => "the node",
                };
                Error::new(
                    ErrorKind::LimitExceeded,
                    format!("{whose} has as many connections as allowed"),
                )
                .retry_after(Duration::from_secs(5))
            })
    }

    /// Makes sure that a user is not turned away for connections to a node that has just ended.
    pub(crate) async fn verify_elsewhere(&self, user: &str) {
        let directory = &self.0.hub.directory;
        let limits = &self.config().limits;
        let full = directory.has_room(user, limits.connections_per_user, limits.connections);
        if full == Err(Full::User)
            && directory.count_elsewhere(user) > 0
            && let Some(cluster) = self.0.hub.cluster.get()
        {
            Box::pin(cluster.verify_connections(user)).await;
        }
    }

    /// Reads what a channel remembers, up to what subscribers have been shown: the publications
    /// after `since` (from the oldest kept without), at most `limit` of them, newest first if
    /// `reverse`; and the position of the newest.
    ///
    /// # Errors
    /// [`UnrecoverablePosition`](ErrorKind::UnrecoverablePosition) where `since` is of another
    /// epoch or too old, [`Unavailable`](ErrorKind::Unavailable) where history cannot be read.
    pub async fn history(
        &self,
        channel: &Channel,
        since: Option<&Since>,
        limit: usize,
        reverse: bool,
    ) -> Result<(Vec<Arc<Publication>>, Position), Error> {
        self.history_seen_by(RoleSets::ALL, channel, since, limit, reverse)
            .await
    }

    /// [`history`](Self::history) as one gets it who satisfies these sets of roles.
    pub(crate) async fn history_seen_by(
        &self,
        sees: RoleSets,
        channel: &Channel,
        since: Option<&Since>,
        limit: usize,
        reverse: bool,
    ) -> Result<(Vec<Arc<Publication>>, Position), Error> {
        let hub = &self.0.hub;
        let flushed = match since {
            Some(since) => {
                hub.catch_up(channel, since).await?;
                hub.shown(channel, since, hub.flushed(channel))
            }
            None => hub.flushed(channel),
        };
        let ledger = &hub.shared.ledger;
        let unrecoverable = || Error::from(ErrorKind::UnrecoverablePosition);
        let after = match since {
            Some(since) => {
                crate::recovery::resume_after(since, flushed).ok_or_else(unrecoverable)?
            }
            None => 0,
        };
        if limit == 0 {
            return Ok((Vec::new(), flushed));
        }
        let up_to = match (reverse, since) {
            (true, Some(_)) => after.saturating_sub(1),
            _ => flushed.offset,
        };
        let visibility = &hub.shared.visibility;
        let hides = visibility.hides_from(sees);
        // Where offsets have holes, or events are hidden, the newest are found only by looking at all.
        let (after, most) = match (reverse, hides || ledger.is_log()) {
            (false, _) => (after, if hides { usize::MAX } else { limit }),
            (true, false) => (up_to.saturating_sub(limit as u64), limit),
            (true, true) => (0, usize::MAX),
        };
        let page = ledger
            .read(channel, after, up_to, most)
            .await
            .map_err(|error| unread(&error))?;
        if since.is_some() && !reverse && page.oldest > after + 1 {
            return Err(unrecoverable());
        }
        let mut publications = page.publications;
        if hides {
            visibility.retain(&mut publications, sees);
        }
        if reverse {
            publications.reverse();
        }
        publications.truncate(limit);
        Ok((publications, flushed))
    }

    /// Who is in a channel, in no order; whoever left a moment ago still is, see
    /// [`PresencePolicy::grace`](crate::config::PresencePolicy).
    ///
    /// # Errors
    /// [`NotAvailable`](ErrorKind::NotAvailable) where the channel's policy keeps no presence.
    pub fn presence(&self, channel: &Channel) -> Result<Vec<Member>, Error> {
        self.0.hub.members(channel).ok_or_else(no_presence)
    }

    /// How many clients, and how many users, are in a channel.
    ///
    /// # Errors
    /// As for [`presence`](Self::presence).
    pub fn presence_stats(&self, channel: &Channel) -> Result<(usize, usize), Error> {
        self.0.hub.member_counts(channel).ok_or_else(no_presence)
    }

    /// The channels that are listened to, and by how many connections of all nodes. Asks the other
    /// nodes, for up to a second.
    pub async fn channels(&self) -> Vec<(Channel, usize)> {
        let mut channels = self.0.hub.channels();
        channels.retain(|(_, subscribers)| *subscribers > 0);
        let elsewhere = self.ask(Question::Channels).await;
        if elsewhere.is_empty() {
            return channels;
        }
        let mut sums = channels.into_iter().collect::<HashMap<_, _>>();
        for answer in elsewhere {
            if let Answer::Channels(channels) = answer {
                for (channel, subscribers) in channels {
                    *sums.entry(channel).or_default() += subscribers;
                }
            }
        }
        sums.into_iter().collect()
    }

    /// The connections of a user to all nodes. Asks the others, for up to a second.
    pub async fn connections_of(&self, user: &str) -> Vec<ConnectionInfo> {
        let connections = self.0.hub.directory.of_user(user);
        let here = connections.iter().map(|connection| connection.told());
        let question = Question::Connections {
            user: user.to_owned(),
        };
        let elsewhere = self.ask(question).await.into_iter();
        let elsewhere = elsewhere.filter_map(Answer::into_connections).flatten();
        here.chain(elsewhere).map(ConnectionInfo::from).collect()
    }

    /// Ends a user's connections to all nodes, and says how many there were. Those here at once;
    /// waits up to a second for what the other nodes say.
    pub async fn disconnect_user(&self, user: &str, disconnect: &Disconnect) -> usize {
        let here = crate::cluster::disconnect_here(&self.0.hub, user, disconnect);
        let question = Question::Disconnect {
            user: user.to_owned(),
            code: disconnect.code(),
            reason: disconnect.reason().to_owned(),
        };
        let elsewhere = self
            .ask(question)
            .await
            .into_iter()
            .map(|answer| match answer {
                Answer::Disconnected(count) => count,
                Answer::Connections(_) | Answer::Channels(_) => 0,
            });
        here + elsewhere.sum::<usize>()
    }

    async fn ask(&self, question: Question) -> Vec<Answer> {
        let Some(cluster) = self.0.hub.cluster.get() else {
            return Vec::new();
        };
        let answers = cluster.ask(question).await;
        answers
            .into_iter()
            .flat_map(|(_, answers)| answers)
            .collect()
    }

    /// What the node notices from now on, of use to whoever runs it: rates that are used up, refused
    /// connections, slow consumers, a broker that is lost.
    ///
    /// Costs nothing while nobody listens; each who does gets all notices.
    #[must_use]
    pub fn notices(&self) -> Notices {
        self.0.hub.shared.notices.listen()
    }

    /// How many nodes the cluster has, as far as this one knows; 1 where it is alone.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.0
            .hub
            .cluster
            .get()
            .map_or(1, |cluster| cluster.nodes())
    }

    /// Authenticated connections to this node.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.hub.directory.len()
    }

    /// Sessions, authenticated or not.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.0.sessions.load(Ordering::Acquire)
    }

    /// Whether the node is going down and takes in nobody.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::SeqCst)
    }

    /// Whether history takes in events; without it nothing is accepted.
    #[must_use]
    pub fn history_is_up(&self) -> bool {
        self.0.hub.shared.ledger.is_up()
    }

    /// Whether events can be carried to other nodes.
    #[must_use]
    pub fn broker_is_up(&self) -> bool {
        self.0.broker_is_up()
    }

    /// How the way to the service topics is; none without a [sink](NodeBuilder::sink).
    #[must_use]
    pub fn sink_status(&self) -> Option<SinkStatus> {
        self.0.services.as_ref().map(Services::status)
    }

    /// What the broker promises.
    #[must_use]
    pub fn guarantees(&self) -> Guarantees {
        self.0.broker.guarantees()
    }

    /// The node's id: random, and another one each time it is started.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The node's numbers.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.hub.shared.config
    }

    /// The event set the node was given.
    #[must_use]
    pub fn catalog(&self) -> Option<&Catalog> {
        self.0.catalog.as_deref()
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    pub(crate) fn limits(&self) -> &RateLimits {
        &self.0.limits
    }

    pub(crate) async fn subscribe_broker(&self, channel: &Channel) -> Result<(), Error> {
        if self.0.hub.is_listened_to(channel) {
            return Ok(());
        }
        self.0.hub.expect(channel);
        match &self.0.interest {
            Some(interest) => interest.want(channel).await.map_err(|error| away(&error)),
            None => Ok(()),
        }
    }

    /// The wire form of a codec on a framing; the same for everyone who asks for the same.
    pub(crate) fn wire_form(
        &self,
        codec: Arc<dyn Codec>,
        framing: Arc<dyn Framing>,
    ) -> Arc<WireForm> {
        let mut forms = self.0.forms.lock();
        let same = |form: &&Arc<WireForm>| {
            form.codec.name() == codec.name() && form.framing.name() == framing.name()
        };
        if let Some(form) = forms.iter().find(same) {
            return form.clone();
        }
        assert!(
            forms.len() < MAX_FORMS,
            "a node serves at most {MAX_FORMS} pairs of codec and framing"
        );
        let form = Arc::new(WireForm::new(
            forms.len(),
            codec,
            framing,
            self.config().buffers.message,
        ));
        forms.push(form.clone());
        form
    }
}

impl From<Info> for ConnectionInfo {
    fn from(info: Info) -> Self {
        Self {
            client: info.client,
            transport: info.transport,
            connected_at: SystemTime::UNIX_EPOCH + Duration::from_millis(info.connected_at),
            channels: info.channels,
        }
    }
}

fn no_presence() -> Error {
    let message = "no presence is kept for this channel";
    Error::new(ErrorKind::NotAvailable, message)
}

fn draining() -> Error {
    Error::new(ErrorKind::Unavailable, "the node is going down").retry_after(Duration::from_secs(1))
}

fn away(error: &BrokerError) -> Error {
    warn!(error = error as &dyn std::error::Error, "broker");
    match error.kind() {
        BrokerErrorKind::Unavailable => {
            Error::new(ErrorKind::Unavailable, "the broker is not available")
                .retry_after(Duration::from_secs(5))
        }
        BrokerErrorKind::Rejected => ErrorKind::Internal.into(),
    }
}

pub(crate) fn unread(error: &HistoryError) -> Error {
    warn!(error = error as &dyn std::error::Error, "history");
    Error::new(ErrorKind::Unavailable, "history is not available")
        .retry_after(Duration::from_secs(5))
}
