//! Order and repair over a server that has no log.
//!
//! Such a server carries a message from one connection to many in order, but two publishers' messages
//! reach two nodes in different orders, and what a connection misses is gone. So every channel is
//! broadcast by one node at a time:
//!
//! - **Members.** Every node says each 500 ms that it is there, and is gone after 2.5 s of silence or
//!   by its goodbye. A node that does not hear itself declares nobody gone.
//! - **Owners.** Each [lane](Channel::lane) has an owner, chosen by rendezvous hashing among the
//!   members when it has none, in a term whose number rises. An owner stays until it is gone, so that
//!   nodes which come change nothing.
//! - **Numbers.** A publisher sends an event to the lane's owner, which takes the events of each
//!   origin in their turn, gives each a number and the number of the channel's event before it, keeps
//!   the newest 16 MiB, broadcasts it on the channel's subject, and answers behind that on the same
//!   connection.
//! - **Repair.** A reader whose event does not name the one that came last holds it back and asks the
//!   owner for what is between, for at most 3 s. Owners announce the newest number of channels that
//!   have fallen silent, and readers ask for it when their link was down.
//!
//! # What can go wrong
//! While owners live, every event that was accepted reaches every reader once, in one order. When an
//! owner dies:
//! - what it had accepted and a reader had missed cannot be repaired and is lost to that reader;
//! - what it had broadcast and not answered is sent again by its publisher, and may stand elsewhere
//!   in the order of those readers that did not get it the first time;
//! - for up to 3 s its lanes refuse events as unavailable.
//!
//! Where a network is cut in two, both parts go on by themselves; when they meet, the greater term
//! wins. A node that starts within a second of the server's return may not have heard of owners that
//! are on their way back, and take their lanes over.

mod members;
mod message;
mod owner;
mod reader;
mod state;

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fanfare::broker::{BrokerError, BrokerErrorKind, Published};
use fanfare::{BoxFuture, Channel, Event, Ingress};
use tokio::sync::{OnceCell, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{info, warn};

#[cfg(feature = "rabbitmq")]
pub(super) use self::message::Carriage;
pub(super) use self::message::NodeId;
use self::state::{Output, Refusal, Relay, Ticket};
use super::dropped::Dropped;

/// Calls that may wait. A node has fewer events under way at a time.
const QUEUE: usize = 16_384;
/// Calls and messages that are worked off at a time.
const BATCH: usize = 256;
const TICK: Duration = Duration::from_millis(50);
/// How long a start may take once it is connected: longer than until an owner that has died is gone.
const READY: Duration = Duration::from_secs(10);
/// How long a subscription may take.
const SUBSCRIBED: Duration = Duration::from_secs(5);
/// How long the end waits for what is under way, and for the last words.
const FINISH: Duration = Duration::from_secs(5);

/// What carries bytes between nodes, and loses some.
pub(super) trait Link: Send + 'static {
    /// Waits for what has come, and adds it. Cancel safe.
    fn receive(&mut self, into: &mut Vec<Incoming>) -> impl Future<Output = ()> + Send;

    /// Hands a message for one node over.
    fn send(&mut self, to: NodeId, message: Bytes) -> impl Future<Output = ()> + Send;

    /// Hands a message for all that listen to a channel over, this node included.
    fn cast(&mut self, channel: &Channel, message: Bytes) -> impl Future<Output = ()> + Send;

    /// Hands a message for all nodes over, this one included.
    fn cast_all(&mut self, message: Bytes) -> impl Future<Output = ()> + Send;

    /// Listens to a channel, until it is forgotten or the link is down: before whatever is handed
    /// over later is carried.
    fn listen(&mut self, channel: &Channel) -> impl Future<Output = ()> + Send;

    /// Stops listening to a channel.
    fn forget(&mut self, channel: &Channel);

    /// Sends what was handed over, and disconnects.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// What a link has to say.
#[derive(Debug)]
pub(super) enum Incoming {
    /// It is connected, and listens to no channel.
    Up,
    /// It is not connected, for the reason in the sentence.
    Down(BrokerErrorKind, String),
    /// A message of some node.
    Message(Bytes),
    /// There is no such node.
    Unreachable(NodeId),
}

/// The calls of a broker, over a relay that is started once.
#[derive(Debug, Default)]
pub(super) struct Relayed(OnceCell<Running>);

impl Relayed {
    /// Takes part by a link. Resolves when events can be published.
    pub(super) async fn start<L: Link>(
        &self,
        link: impl FnOnce(NodeId) -> L,
        ingress: Ingress,
    ) -> Result<(), BrokerError> {
        let again = || BrokerError::new(BrokerErrorKind::Rejected, "a broker serves one node");
        if self.0.initialized() {
            return Err(again());
        }
        let me = rand::random();
        let running = Running::start(me, link(me), ingress).await?;
        self.0.set(running).map_err(|_| again())
    }

    pub(super) fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        match self.running() {
            Ok(running) => running.publish(event),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    pub(super) async fn subscribe(&self, channels: Vec<Channel>) -> Result<(), BrokerError> {
        self.running()?.subscribe(channels).await
    }

    pub(super) fn unsubscribe(&self, channels: Vec<Channel>) -> Result<(), BrokerError> {
        self.running()?.unsubscribe(channels)
    }

    pub(super) fn is_up(&self) -> bool {
        self.0.get().is_some_and(Running::is_up)
    }

    pub(super) async fn shutdown(&self) {
        if let Some(running) = self.0.get() {
            running.shutdown().await;
        }
    }

    fn running(&self) -> Result<&Running, BrokerError> {
        let running = self.0.get();
        running.ok_or_else(|| unavailable("the broker was not started"))
    }
}

/// A relay that was started.
#[derive(Debug)]
struct Running {
    commands: mpsc::Sender<Command>,
    ready: Arc<AtomicBool>,
    down: AtomicBool,
    under_way: watch::Sender<usize>,
}

type Answer = oneshot::Sender<Result<(), BrokerError>>;

#[derive(Debug)]
enum Command {
    Publish(Event, Answer),
    Subscribe(Vec<Channel>, Answer),
    Unsubscribe(Vec<Channel>),
    End(oneshot::Sender<()>),
}

impl Running {
    async fn start(me: NodeId, link: impl Link, ingress: Ingress) -> Result<Self, BrokerError> {
        let (commands, queue) = mpsc::channel(QUEUE);
        let (starting, started) = oneshot::channel();
        let ready = Arc::new(AtomicBool::new(false));
        let driver = Driver {
            relay: Relay::new(me, Instant::now()),
            link,
            ingress,
            ready: ready.clone(),
            starting: Some(starting),
            was_up: false,
            answers: HashMap::new(),
            next_ticket: 1,
            undecodable: Dropped::new("undecodable"),
            missed: Dropped::new("missed"),
        };
        tokio::spawn(driver.run(queue));
        let started = tokio::time::timeout(READY, started).await;
        match started {
            Ok(Ok(Ok(()))) => Ok(Self {
                commands,
                ready,
                down: AtomicBool::new(false),
                under_way: watch::Sender::new(0),
            }),
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(_)) | Err(_) => Err(unavailable("the other nodes did not come to an agreement")),
        }
    }

    fn is_up(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.down.load(Ordering::Acquire)
    }

    fn publish(&self, event: Event) -> BoxFuture<'_, Result<Published, BrokerError>> {
        let sent = self.send(|answer| Command::Publish(event, answer));
        self.under_way.send_modify(|count| *count += 1);
        let under_way = UnderWay(&self.under_way);
        Box::pin(async move {
            let _under_way = under_way;
            answer(sent?).await?;
            Ok(Published { position: None })
        })
    }

    async fn subscribe(&self, channels: Vec<Channel>) -> Result<(), BrokerError> {
        let sent = self.send(|answer| Command::Subscribe(channels, answer))?;
        let subscribed = tokio::time::timeout(SUBSCRIBED, answer(sent)).await;
        subscribed
            .unwrap_or_else(|_| Err(unavailable("the channels' owners did not answer in time")))
    }

    fn unsubscribe(&self, channels: Vec<Channel>) -> Result<(), BrokerError> {
        let sent = self.commands.try_send(Command::Unsubscribe(channels));
        sent.map_err(|_| unavailable("too many calls wait"))
    }

    async fn shutdown(&self) {
        if self.down.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut under_way = self.under_way.subscribe();
        let finished = under_way.wait_for(|count| *count == 0);
        let _ = tokio::time::timeout(FINISH, finished).await;
        let (ended, end) = oneshot::channel();
        let last_words = async {
            if self.commands.send(Command::End(ended)).await.is_ok() {
                let _ = end.await;
            }
        };
        let _ = tokio::time::timeout(FINISH, last_words).await;
    }

    fn send(
        &self,
        command: impl FnOnce(Answer) -> Command,
    ) -> Result<oneshot::Receiver<Result<(), BrokerError>>, BrokerError> {
        if self.down.load(Ordering::Acquire) {
            return Err(unavailable("the broker is shut down"));
        }
        let (answer, answered) = oneshot::channel();
        match self.commands.try_send(command(answer)) {
            Ok(()) => Ok(answered),
            Err(_) => Err(unavailable(
                "events are published faster than they are carried",
            )),
        }
    }
}

async fn answer(answered: oneshot::Receiver<Result<(), BrokerError>>) -> Result<(), BrokerError> {
    let ended = |_| Err(unavailable("the broker is shut down"));
    answered.await.unwrap_or_else(ended)
}

/// Counts a call of `publish` until its future is done or dropped.
struct UnderWay<'a>(&'a watch::Sender<usize>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Moves what comes into the relay, and what it wants done to where it is done.
struct Driver<L> {
    relay: Relay,
    link: L,
    ingress: Ingress,
    ready: Arc<AtomicBool>,
    starting: Option<oneshot::Sender<Result<(), BrokerError>>>,
    was_up: bool,
    answers: HashMap<Ticket, Answer>,
    next_ticket: Ticket,
    undecodable: Dropped,
    missed: Dropped,
}

impl<L: Link> Driver<L> {
    /// Runs until the broker ends or is dropped.
    async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut incoming = Vec::new();
        let mut commands = Vec::new();
        let mut ending = None;
        while ending.is_none() {
            tokio::select! {
                () = self.link.receive(&mut incoming) => {}
                count = queue.recv_many(&mut commands, BATCH) => if count == 0 {
                    break;
                },
                _ = ticks.tick() => self.relay.tick(Instant::now()),
            }
            for incoming in incoming.drain(..) {
                if !self.hear(incoming) {
                    return;
                }
            }
            for command in commands.drain(..) {
                match command {
                    Command::End(ended) => ending = Some(ended),
                    other => self.carry_out(other),
                }
            }
            self.work_off().await;
            let ready = self.relay.is_ready(Instant::now());
            self.ready.store(ready, Ordering::Release);
            if ready && let Some(starting) = self.starting.take() {
                let _ = starting.send(Ok(()));
            }
        }
        self.ready.store(false, Ordering::Release);
        self.relay.end();
        self.work_off().await;
        self.link.close().await;
        if let Some(ended) = ending {
            let _ = ended.send(());
        }
    }

    /// Whether to go on: not where the first connection fails.
    fn hear(&mut self, incoming: Incoming) -> bool {
        let now = Instant::now();
        match incoming {
            Incoming::Up => {
                if std::mem::replace(&mut self.was_up, true) {
                    info!("the broker is back");
                }
                self.relay.link_up(now);
            }
            Incoming::Down(kind, reason) => {
                self.ready.store(false, Ordering::Release);
                if let Some(starting) = self.starting.take() {
                    let _ = starting.send(Err(BrokerError::new(kind, reason)));
                    return false;
                }
                warn!(reason, "the broker is away");
                self.relay.link_down();
            }
            Incoming::Message(bytes) => self.relay.receive(bytes, now),
            Incoming::Unreachable(node) => self.relay.unreachable(node),
        }
        true
    }

    fn carry_out(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Publish(event, answer) => {
                let ticket = self.ticket(answer);
                self.relay.publish(ticket, &event, now);
            }
            Command::Subscribe(channels, answer) => {
                let ticket = self.ticket(answer);
                self.relay.subscribe(ticket, channels, now);
            }
            Command::Unsubscribe(channels) => self.relay.unsubscribe(channels),
            Command::End(_) => {}
        }
    }

    fn ticket(&mut self, answer: Answer) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.answers.insert(ticket, answer);
        ticket
    }

    async fn work_off(&mut self) {
        while let Some(output) = self.relay.output() {
            match output {
                Output::Send(to, message) => self.link.send(to, message).await,
                Output::Cast(channel, message) => self.link.cast(&channel, message).await,
                Output::CastAll(message) => self.link.cast_all(message).await,
                Output::Listen(channel) => self.link.listen(&channel).await,
                Output::Forget(channel) => self.link.forget(&channel),
                Output::Deliver(event) => {
                    let _ = self.ingress.deliver(event);
                }
                Output::Published(ticket, published) => {
                    if let Some(answer) = self.answers.remove(&ticket) {
                        let _ = answer.send(published.map_err(refused));
                    }
                }
                Output::Subscribed(ticket) => {
                    if let Some(answer) = self.answers.remove(&ticket) {
                        let _ = answer.send(Ok(()));
                    }
                }
                Output::GaveUp(channel, holes) => {
                    let detail = "events did not come in time, or their owner is gone";
                    self.missed.count(holes, channel.as_str(), detail);
                }
                Output::Garbled => {
                    let detail = "not of this version, or not of a node";
                    self.undecodable
                        .count(1, "among the nodes' messages", detail);
                }
            }
        }
    }
}

fn refused(refusal: Refusal) -> BrokerError {
    let kind = match refusal {
        Refusal::Garbled => BrokerErrorKind::Rejected,
        _ => BrokerErrorKind::Unavailable,
    };
    let sentence = match refusal {
        Refusal::Away => "there is no connection to the broker",
        Refusal::NoOwner => "no node numbers the channel's lane at the moment",
        Refusal::NoAnswer => {
            "the owner of the channel's lane did not answer; it may have the event"
        }
        Refusal::Moved => "the channel's lane has another owner now",
        Refusal::Early => "an event before this one has not arrived",
        Refusal::Garbled => "the owner of the channel's lane cannot read the event",
    };
    BrokerError::new(kind, sentence)
}

fn unavailable(sentence: impl Into<String>) -> BrokerError {
    BrokerError::new(BrokerErrorKind::Unavailable, sentence.into())
}
