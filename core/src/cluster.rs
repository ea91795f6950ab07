//! What the nodes of a cluster know of each other: who is alive, who is in which channel, how many
//! connections a user has.
//!
//! Nodes speak on a channel of their own ([`Channel::is_of_nodes`]), by events that their broker
//! carries live and keeps nowhere. Each tells the others what changes at it, with a number; who missed
//! one asks for the whole. A node that has been silent for [`SILENCE`] is gone, and so is what it had.

mod gossip;
mod message;
mod peers;
mod questions;

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, info, warn};

pub(crate) use self::gossip::{Gossip, millis};
use self::message::{CHUNK, Message, Whole};
use self::peers::{Heard, Peers};
use self::questions::Asked;
pub(crate) use self::questions::{Answer, Info, Question};
use crate::broker::Broker;
use crate::channel::Channel;
use crate::disconnect::Disconnect;
use crate::event::{Event, Guarantee, Priority};
use crate::hub::Hub;

/// Between two signs of life.
const ALIVE: Duration = Duration::from_millis(500);
/// A node that has said nothing for this long is gone.
const SILENCE: Duration = Duration::from_secs(3);
/// How long the others have to answer a question.
const ANSWER: Duration = Duration::from_secs(1);
/// A whole is told at most this often, however many ask for it.
const WHOLE: Duration = Duration::from_millis(200);
/// What a message may take on its way.
const SEND: Duration = Duration::from_secs(5);

/// This node's part of the cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    me: Arc<str>,
    broker: Arc<dyn Broker>,
    hub: Weak<Hub>,
    peers: Peers,
    asked: Asked,
    gossip: Arc<Gossip>,
    /// Told when somebody wants the whole of this node.
    whole_wanted: Notify,
    outgoing: tokio::sync::mpsc::UnboundedSender<Message>,
}

/// The tasks that speak for the node.
#[derive(Debug)]
pub(crate) struct Speaking(Vec<AbortHandle>);

impl Drop for Speaking {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl Cluster {
    /// Begins to speak.
    pub(crate) fn start(
        me: &str,
        broker: Arc<dyn Broker>,
        hub: &Arc<Hub>,
        gossip: Arc<Gossip>,
    ) -> (Arc<Self>, Speaking) {
        let (outgoing, queue) = tokio::sync::mpsc::unbounded_channel();
        let cluster = Arc::new(Self {
            me: me.into(),
            broker,
            hub: Arc::downgrade(hub),
            peers: Peers::default(),
            asked: Asked::default(),
            gossip,
            whole_wanted: Notify::new(),
            outgoing,
        });
        let telling = tokio::spawn(cluster.clone().tell_changes());
        let answering = tokio::spawn(cluster.clone().send_all(queue));
        let watching = tokio::spawn(cluster.clone().watch());
        let tasks = [telling, answering, watching].map(|task| task.abort_handle());
        (cluster, Speaking(tasks.into()))
    }

    /// How many nodes there are, this one included.
    pub(crate) fn nodes(&self) -> usize {
        self.peers.len() + 1
    }

    /// Takes in what a node says.
    pub(crate) fn hear(&self, event: &Event) {
        let Some(hub) = self.hub.upgrade() else {
            return;
        };
        let (from, message) = match message::read(event.payload()) {
            Ok(read) => read,
            Err(error) => {
                debug!(%error, "a node says what this one does not understand");
                return;
            }
        };
        if from == *self.me {
            return;
        }
        let from = Arc::<str>::from(from);
        match self.peers.hear(&from, &message, &hub) {
            Heard::New => {
                info!(node = %from, nodes = self.nodes(), "a node has come");
                self.ask_for_whole(&from);
                // It knows as little of this one.
                self.whole_wanted.notify_one();
            }
            Heard::Missed => self.ask_for_whole(&from),
            Heard::All => {}
        }
        match message {
            Message::Again { of } if of == *self.me => self.whole_wanted.notify_one(),
            Message::Ask { id, question } => {
                for (answer, last) in questions::answer(&hub, question) {
                    let to = from.to_string();
                    self.say(Message::Answer {
                        id,
                        to,
                        answer,
                        last,
                    });
                }
            }
            Message::Answer {
                id,
                to,
                answer,
                last,
            } if to == *self.me => self.asked.take_in(id, &from, answer, last),
            Message::Bye => {
                info!(node = %from, nodes = self.nodes(), "a node has left");
            }
            _ => {}
        }
    }

    /// Asks all other nodes. Returns what came within [`ANSWER`], and from whom.
    pub(crate) async fn ask(&self, question: Question) -> Vec<(Arc<str>, Vec<Answer>)> {
        let expected = self.peers.names();
        if expected.is_empty() {
            return Vec::new();
        }
        let asking = self.asked.begin(expected);
        self.say(Message::Ask {
            id: asking.id(),
            question,
        });
        let _ = timeout(ANSWER, asking.complete()).await;
        asking.answers()
    }

    /// Makes sure of the connections that a user has on other nodes: a node that has just ended is
    /// still believed to have them.
    pub(crate) async fn verify_connections(&self, user: &str) {
        let Some(hub) = self.hub.upgrade() else {
            return;
        };
        let user_of_question = user.to_owned();
        let answers = self
            .ask(Question::Connections {
                user: user_of_question,
            })
            .await;
        let known = answers.into_iter().map(|(node, answers)| {
            let infos = answers.into_iter().filter_map(Answer::into_connections);
            (node, infos.flatten().collect::<Vec<_>>())
        });
        self.peers.correct(user, &known.collect(), &hub);
    }

    /// Says goodbye, so that nobody waits for this node.
    pub(crate) async fn leave(&self) {
        self.send(&Message::Bye).await;
    }

    fn ask_for_whole(&self, node: &Arc<str>) {
        self.say(Message::Again {
            of: node.to_string(),
        });
    }

    fn say(&self, message: Message) {
        // Where the tasks are gone, so is the node.
        let _ = self.outgoing.send(message);
    }

    async fn send_all(self: Arc<Self>, mut queue: tokio::sync::mpsc::UnboundedReceiver<Message>) {
        while let Some(message) = queue.recv().await {
            self.send(&message).await;
        }
    }

    /// What is lost is found missing by its number, or not answered.
    async fn send(&self, message: &Message) {
        let event = Event::from_compact(
            Channel::of_nodes(),
            "node".into(),
            message::write(&self.me, message).into(),
        );
        let event = event
            .with_priority(Priority::High)
            .with_guarantee(Guarantee::Ephemeral);
        match timeout(SEND, self.broker.publish(event)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => debug!(error = &error as &dyn std::error::Error, "unheard"),
            Err(_) => debug!("unheard: the broker does not answer"),
        }
    }

    /// Tells the others what changes, and all of it to those who ask.
    async fn tell_changes(self: Arc<Self>) {
        let mut alive = interval(ALIVE);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told_whole: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = alive.tick() => {
                    let number = self.gossip.number();
                    self.send(&Message::Alive { number }).await;
                }
                () = self.gossip.changed() => {
                    while let Some(changes) = self.gossip.take(CHUNK) {
                        self.send(&Message::Changes(changes)).await;
                    }
                }
                () = self.whole_wanted.notified() => {
                    if let Some(told) = told_whole {
                        tokio::time::sleep_until(told + WHOLE).await;
                    }
                    let Some(hub) = self.hub.upgrade() else { return };
                    for part in self.whole(&hub) {
                        self.send(&Message::Whole(part)).await;
                    }
                    told_whole = Some(Instant::now());
                }
            }
        }
    }

    /// All that this node has, as of a number, in parts.
    fn whole(&self, hub: &Hub) -> Vec<Whole> {
        // What changes while it is gathered is told after it, and does no harm twice.
        let number = self.gossip.number();
        let members = hub.own_members();
        let connections = hub.directory.own();
        message::parts(number, members, connections)
    }

    /// Notices who is gone.
    async fn watch(self: Arc<Self>) {
        let mut tick = interval(ALIVE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut up_since = None;
        loop {
            tick.tick().await;
            let Some(hub) = self.hub.upgrade() else {
                return;
            };
            if !self.broker.is_up() {
                // Nobody can be heard, which says nothing about them.
                up_since = None;
                continue;
            }
            let since = *up_since.get_or_insert_with(|| {
                self.peers.all_are_alive();
                self.whole_wanted.notify_one();
                Instant::now()
            });
            if since.elapsed() < SILENCE {
                continue;
            }
            for gone in self.peers.expire(SILENCE, &hub) {
                warn!(node = %gone, nodes = self.nodes(), "a node is gone");
            }
            hub.shared.metrics.nodes.set(self.nodes() as f64);
        }
    }
}

/// Ends what a user has here.
pub(crate) fn disconnect_here(hub: &Hub, user: &str, disconnect: &Disconnect) -> usize {
    let connections = hub.directory.of_user(user);
    let ended = connections
        .iter()
        .filter(|connection| connection.outbox.close(disconnect.clone()));
    ended.count()
}
