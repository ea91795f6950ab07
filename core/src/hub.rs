//! Channels, their subscribers, and the workers that serve them.

pub(crate) mod channel;
mod commits;
pub(crate) mod connection;
pub(crate) mod deadlines;
pub(crate) mod directory;
pub(crate) mod fan_out;
mod pending;
mod subscribers;
pub(crate) mod turns;
mod wheel;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;
use uuid::Uuid;

use self::channel::Channel;
use self::commits::Commits;
use self::connection::Connection;
use self::deadlines::Deadlines;
use self::directory::Directory;
use self::fan_out::Worker;
use self::subscribers::Seat;
use self::turns::Turns;
use crate::broker::Broker;
use crate::channel::Channel as Name;
use crate::cluster::{Cluster, Gossip};
use crate::codec::Since;
use crate::config::Config;
use crate::disconnect::Disconnect;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::history::HistoryStore;
use crate::history::ledger::Ledger;
use crate::ingress::Delivered;
use crate::metrics::Metrics;
use crate::notice::{ConnectionScope, Notice, NoticeBoard};
use crate::position::Position;
use crate::presence::Member;
use crate::sync::Mutex;
use crate::visibility::Visibility;

const SHARDS: usize = 64;
/// How long a channel stays after its last subscriber left, so that one who comes right back finds
/// it in place.
const EMPTY_CHANNEL_STAYS: Duration = Duration::from_secs(5);

/// How long a client waits for its new node to be as far as its old one was.
const CATCHING_UP: Duration = Duration::from_secs(5);
/// After what pause the node looks how far it is, which doubles from look to look.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LATER_LOOKS: Duration = Duration::from_millis(250);

/// The channels and connections of a node.
#[derive(Debug)]
pub(crate) struct Hub {
    shards: Box<[Shard]>,
    hasher: RandomState,
    pub(crate) directory: Directory,
    pub(crate) turns: Turns,
    /// Channels that nobody listens to, and that are remembered.
    idle: Mutex<HashSet<Name>>,
    /// The other nodes, once this one speaks with them.
    pub(crate) cluster: OnceLock<Arc<Cluster>>,
    pub(crate) shared: Arc<Shared>,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// The channels whose names share a hash.
type Shard = Mutex<HashMap<Name, Arc<Channel>>>;

/// What channels and workers need of the node.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) visibility: Visibility,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) notices: Arc<NoticeBoard>,
    pub(crate) workers: Box<[Worker]>,
    pub(crate) deadlines: Deadlines,
    pub(crate) commits: Commits,
    /// What the other nodes are to be told, where there may be any.
    pub(crate) gossip: Option<Arc<Gossip>>,
    started: Instant,
}

/// A connection's place in a channel.
#[derive(Debug)]
pub(crate) struct Subscription {
    channel: Arc<Channel>,
    seat: Seat,
}

impl Hub {
    pub(crate) fn new(
        config: Config,
        visibility: Visibility,
        store: Arc<dyn HistoryStore>,
        broker: &Arc<dyn Broker>,
        workers: usize,
    ) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            directory: Directory::default(),
            turns: Turns::default(),
            idle: Mutex::default(),
            cluster: OnceLock::new(),
            shared: Arc::new(Shared {
                config,
                visibility,
                ledger: Ledger::new(store, broker),
                metrics: Metrics::new(),
                notices: Arc::default(),
                workers: (0..workers).map(|_| Worker::default()).collect(),
                deadlines: Deadlines::default(),
                commits: Commits::default(),
                gossip: (!broker.is_local()).then(Arc::default),
                started: Instant::now(),
            }),
            tasks: Mutex::default(),
        }
    }

    /// Starts the workers and the clocks on the current runtime.
    pub(crate) fn start(self: &Arc<Self>) {
        let mut tasks = self.tasks.lock();
        for index in 0..self.shared.workers.len() {
            let shared = self.shared.clone();
            tasks.push(
                tokio::spawn(async move { shared.workers[index].run(index, &shared).await })
                    .abort_handle(),
            );
        }
        let shared = self.shared.clone();
        tasks.push(tokio::spawn(async move { shared.deadlines.run(&shared).await }).abort_handle());
        let shared = self.shared.clone();
        tasks.push(tokio::spawn(async move { shared.commits.run(&shared).await }).abort_handle());
    }

    /// Takes in what another node says.
    pub(crate) fn hear(&self, event: &Event) {
        if let Some(cluster) = self.cluster.get() {
            cluster.hear(event);
        }
    }

    /// Takes in a client that joined a channel on another node.
    pub(crate) fn joined_elsewhere(&self, name: &Name, client: Uuid, user: &str) {
        if self.shared.config.presence(name.family()).is_some() {
            let user = user.into();
            let joined = || {
                let channel = self.get_or_open(name);
                channel.joined_elsewhere(client, &user, &self.shared)
            };
            while joined().is_err() {}
        }
    }

    /// Takes the leave of a client that another node had.
    pub(crate) fn left_elsewhere(&self, name: &Name, client: Uuid) {
        let channel = self.shard(name).lock().get(name).cloned();
        if let Some(channel) = channel {
            channel.left(client);
        }
    }

    /// Counts a user's connection to another node, and ends those here that are too many now.
    pub(crate) fn connected_elsewhere(&self, user: &str, client: Uuid, at: u64) {
        self.directory.add_elsewhere(user, client, at);
        let most = self.shared.config.limits.connections_per_user;
        for connection in self.directory.too_many(user, most) {
            connection.outbox.close(Disconnect::CONNECTION_LIMIT);
            self.shared
                .connection_refused(Some(user), ConnectionScope::User);
        }
    }

    /// Who of this node is in channels that keep presence.
    pub(crate) fn own_members(&self) -> Vec<(Name, Uuid, Arc<str>)> {
        let mut members = Vec::new();
        for connection in self.connections() {
            let Some(identity) = connection.identity() else {
                continue;
            };
            let channels = connection.channels().into_iter();
            let kept = channels.filter(|name| self.shared.config.presence(name.family()).is_some());
            members.extend(kept.map(|name| (name, connection.id, identity.user.clone())));
        }
        members
    }

    fn shard(&self, name: &Name) -> &Shard {
        &self.shards[self.hash(name) % SHARDS]
    }

    fn hash(&self, name: &Name) -> usize {
        self.hasher.hash_one(name) as usize
    }

    /// Numbers an event that does not come with its position, keeps it, and hands it to its channel's
    /// subscribers by its deadline.
    pub(crate) fn accept(&self, event: Event, position: Option<Position>) -> Delivered {
        // What the store may still lose must not be seen before it is safe, which a channel waits
        // for whether or not somebody listens.
        let needs_channel = self.shared.ledger.safe() != u64::MAX;
        loop {
            let mut shard = self.shard(event.channel()).lock();
            let known = shard.get(event.channel()).cloned();
            let channel = match known {
                Some(channel) => channel,
                None if needs_channel => self.open(event.channel(), &mut shard),
                None => {
                    // Nobody listens. Under the shard's lock, so that a first subscriber cannot
                    // come between the look and the append and miss the event.
                    let retention = self.shared.config.retention(event.channel().family());
                    let appended = self.shared.ledger.append(event, position, retention);
                    return Delivered::from(&appended);
                }
            };
            drop(shard);
            if let Ok(delivered) = channel.accept(event.clone(), position, &self.shared) {
                return delivered;
            }
        }
    }

    /// Puts a channel into its shard, which is locked.
    fn open(&self, name: &Name, shard: &mut HashMap<Name, Arc<Channel>>) -> Arc<Channel> {
        let channel = Arc::new(Channel::new(
            name.clone(),
            self.shared.config.retention(name.family()).clone(),
            self.shared.config.presence(name.family()).cloned(),
            (self.hash(name) >> 24) as u8,
            self.shared.workers.len(),
            self.shared.ledger.top(name),
        ));
        shard.insert(name.clone(), channel.clone());
        channel
    }

    fn get_or_open(&self, name: &Name) -> Arc<Channel> {
        let mut shard = self.shard(name).lock();
        match shard.get(name) {
            Some(channel) => channel.clone(),
            None => self.open(name, &mut shard),
        }
    }

    /// Opens a channel that somebody is about to subscribe to, so that it is not swept meanwhile.
    pub(crate) fn expect(&self, name: &Name) {
        while self.get_or_open(name).expect().is_err() {}
    }

    /// Whether the channel is open.
    pub(crate) fn is_open(&self, name: &Name) -> bool {
        self.shard(name).lock().contains_key(name)
    }

    /// See [`Channel::keep_for_polls`].
    pub(crate) fn keep_for_polls(&self, name: &Name, recent: Duration) {
        while self.get_or_open(name).keep_for_polls(recent).is_err() {}
    }

    /// Waits while too much waits in a channel and history works. Cancel safe.
    pub(crate) async fn room(&self, name: &Name) {
        let channel = self.shard(name).lock().get(name).cloned();
        if let Some(channel) = channel {
            let most = self.shared.config.buffers.pending;
            channel.room(most, &self.shared).await;
        }
    }

    /// Shows subscribers, before its time, what waits in a channel up to an offset. Cancel safe.
    pub(crate) async fn show(&self, name: &Name, offset: u64) {
        let channel = self.shard(name).lock().get(name).cloned();
        if let Some(channel) = channel {
            channel.show(offset, &self.shared).await;
        }
    }

    /// Waits until this node has taken in and shown what a client has seen elsewhere, on a node that
    /// was ahead. Cancel safe.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) where that takes too long.
    pub(crate) async fn catch_up(&self, name: &Name, since: &Since) -> Result<(), Error> {
        let patience = Instant::now() + CATCHING_UP;
        let mut pause = FIRST_LOOK;
        loop {
            let covered = self.shared.ledger.covered(name);
            let Some(covered) = covered.filter(|covered| since.is_of(covered.epoch)) else {
                return Ok(());
            };
            if covered.to >= since.offset {
                self.show(name, since.offset).await;
                return Ok(());
            }
            // An offset that is in no log must not be waited for by each who makes one up.
            if Instant::now() >= patience {
                let message = "this node is behind the one that the client comes from";
                let error = Error::new(ErrorKind::Unavailable, message);
                return Err(error.retry_after(CATCHING_UP));
            }
            // A node that reads its log is there within milliseconds; one whose log has no such offset
            // must not look for it at that pace.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LATER_LOOKS);
        }
    }

    /// Where a client stands that has seen all up to `flushed`, and in a log perhaps beyond: nothing
    /// of the channel stood there.
    pub(crate) fn shown(&self, name: &Name, since: &Since, flushed: Position) -> Position {
        let covered = self.shared.ledger.covered(name);
        let beyond = covered.is_some_and(|covered| {
            since.is_of(covered.epoch)
                && covered.epoch == flushed.epoch
                && (flushed.offset..=covered.to).contains(&since.offset)
        });
        Position {
            offset: if beyond { since.offset } else { flushed.offset },
            ..flushed
        }
    }

    /// Whether somebody listens to the channel, so that a broker delivers it here already.
    pub(crate) fn is_listened_to(&self, name: &Name) -> bool {
        let channel = self.shard(name).lock().get(name).cloned();
        channel.is_some_and(|channel| channel.is_listened_to())
    }

    /// Subscribes a connection. Flushes that begin from now on reach it; the returned position says
    /// up to where history has what came before. One that `follows` is told who joins and leaves.
    pub(crate) fn join(
        &self,
        name: &Name,
        connection: &Arc<Connection>,
        follows: bool,
    ) -> (Subscription, Position) {
        loop {
            let channel = self.get_or_open(name);
            if let Ok(joined) = channel.join(connection, follows, &self.shared) {
                self.shared.metrics.subscriptions.increment(1.0);
                return joined;
            }
        }
    }

    pub(crate) fn leave(&self, connection: &Connection, subscription: Subscription) {
        subscription
            .channel
            .leave(connection, subscription.seat, &self.shared);
        self.shared.metrics.subscriptions.decrement(1.0);
    }

    /// The newest position of a channel that subscribers have been shown.
    pub(crate) fn flushed(&self, name: &Name) -> Position {
        let shard = self.shard(name).lock();
        match shard.get(name) {
            Some(channel) => channel.flushed(),
            None => self.shared.ledger.top(name),
        }
    }

    /// Who is in a channel; none where its policy does not want to know.
    pub(crate) fn members(&self, name: &Name) -> Option<Vec<Member>> {
        self.shared.config.presence(name.family())?;
        let channel = self.shard(name).lock().get(name).cloned();
        channel.map_or(Some(Vec::new()), |channel| channel.members())
    }

    /// How many clients and users are in a channel.
    pub(crate) fn member_counts(&self, name: &Name) -> Option<(usize, usize)> {
        self.shared.config.presence(name.family())?;
        let channel = self.shard(name).lock().get(name).cloned();
        channel.map_or(Some((0, 0)), |channel| channel.member_counts())
    }

    /// Announces who did not come back in time.
    pub(crate) fn announce_leaves(&self) {
        let now = Instant::now();
        self.each_channel(|channel| channel.announce_leaves(now, &self.shared));
    }

    /// Removes channels that nobody has listened to for a while, and says which.
    pub(crate) fn sweep(&self) -> Vec<Name> {
        let Some(before) = Instant::now().checked_sub(EMPTY_CHANNEL_STAYS) else {
            return Vec::new();
        };
        let mut removed = Vec::new();
        for shard in &self.shards {
            shard.lock().retain(|name, channel| {
                let remove = channel.remove_if_empty_since(before);
                if remove {
                    removed.push(name.clone());
                }
                !remove
            });
        }
        removed
    }

    /// Which channels the node need not be told of any more, of those that were just swept and those
    /// that were before. A node that numbers by itself and remembers a channel goes on listening to
    /// it: a client that comes back must not be told that it missed nothing.
    pub(crate) fn unheard(&self, swept: Vec<Name>) -> Vec<Name> {
        if self.shared.ledger.is_log() {
            return swept;
        }
        let mut idle = self.idle.lock();
        idle.extend(swept);
        let unheard = idle
            .extract_if(|name| self.is_open(name) || self.shared.ledger.top(name).offset == 0)
            .filter(|name| !self.is_open(name));
        unheard.collect()
    }

    /// Every connection, whether or not it has said who it is.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        self.shared
            .workers
            .iter()
            .flat_map(|worker| worker.wheel.lock().connections())
            .collect()
    }

    /// The channels that are open, and how many listen to each.
    pub(crate) fn channels(&self) -> Vec<(Name, usize)> {
        let mut channels = Vec::new();
        self.each_channel(|channel| channels.push((channel.name().clone(), channel.subscribers())));
        channels
    }

    /// Flushes what waits anywhere and can be shown, and returns once workers have written it.
    pub(crate) async fn flush_all(&self) {
        loop {
            let mut busy = false;
            self.each_channel(|channel| {
                channel.flush_now(&self.shared);
                busy |= channel.is_busy(&self.shared);
            });
            if !busy {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn each_channel(&self, mut visit: impl FnMut(&Arc<Channel>)) {
        for shard in &self.shards {
            let channels = shard.lock().values().cloned().collect::<Vec<_>>();
            channels.iter().for_each(&mut visit);
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }
}

impl Shared {
    /// Says that a connection was refused.
    pub(crate) fn connection_refused(&self, user: Option<&str>, scope: ConnectionScope) {
        let limits = &self.config.limits;
        self.notices.tell(|| Notice::ConnectionRefused {
            user: user.map(Arc::from),
            scope,
            limit: match scope {
                ConnectionScope::User => limits.connections_per_user,
                ConnectionScope::Node => limits.connections,
            },
        });
    }

    /// Whole seconds since the node started, counted from 1 so that 0 can stand for never.
    pub(crate) fn now(&self) -> u32 {
        self.at(Instant::now())
    }

    /// The second in which `instant` lies.
    pub(crate) fn at(&self, instant: Instant) -> u32 {
        let seconds = instant.duration_since(self.started).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX - 1) + 1
    }
}

impl Subscription {
    pub(crate) fn channel(&self) -> &Name {
        self.channel.name()
    }
}
