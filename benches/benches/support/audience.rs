//! A node and the connections that listen to it, whose ends count what reaches them.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Buf;
use fanfare::codec::centrifuge::Centrifuge;
use fanfare::{
    Batch, Channel, Config, DirectWrite, Event, Handshake, Identity, Node, Opening, Outbound,
    Priority, Session,
};
use fanfare_transports::websocket::WebSocketFraming;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::events::payload;

/// How frames leave the node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outlet {
    /// Fan-out writes them to a lent sink.
    Lent,
    /// A task for each connection takes them.
    Task,
}

/// Channels with an equal number of connections each.
pub(crate) struct Audience {
    node: Node,
    gate: Arc<Gate>,
    /// The next event of each channel.
    events: Vec<Event>,
    /// Bytes of an event's line without the digits of its offset.
    line: u64,
    /// Events that each channel has had so far.
    published: AtomicU64,
    _sessions: Vec<Session>,
}

impl Audience {
    pub(crate) async fn gather(channels: usize, ends_each: usize, outlet: Outlet) -> Self {
        let node = Node::builder()
            .config(config(channels * ends_each))
            .start()
            .await;
        let node = node.expect("the numbers fit each other, and memory is always there");
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        let gate = Arc::new(Gate::new(channels * ends_each, workers));
        // Names of one length, so that the same bytes are due in every channel.
        let names = (0..channels).map(|at| Channel::new(&format!("thread.{}", 10_000 + at)));
        let names = names
            .collect::<Result<Vec<_>, _>>()
            .expect("the names are channel names");
        let mut ends = Vec::with_capacity(channels * ends_each);
        let mut sessions = Vec::with_capacity(channels * ends_each);
        for channel in &names {
            for _ in 0..ends_each {
                // Sessions are dealt out to the workers in turn.
                let end = End::new(&gate, ends.len() % workers);
                sessions.push(join(&node, ends.len(), channel, outlet, &end).await);
                ends.push(end);
            }
        }
        while sessions
            .iter()
            .any(|session| session.outbound().queued() > 0)
        {
            sleep(Duration::from_millis(1)).await;
        }
        ends.iter()
            .for_each(|end| end.got.store(0, Ordering::Relaxed));
        let event = |channel: Channel| {
            let event = Event::new(channel, "forum.comment.created", payload(300, 0));
            event
                .expect("the payload is JSON")
                .with_priority(Priority::High)
        };
        let mut audience = Self {
            node,
            gate,
            events: names.into_iter().map(event).collect(),
            line: 0,
            published: AtomicU64::new(0),
            _sessions: sessions,
        };
        audience.weigh_a_line(&ends).await;
        audience
    }

    /// Publishes one event to each channel and looks what that made for every end.
    async fn weigh_a_line(&mut self, ends: &[Arc<End>]) {
        self.gate.promised.store(u64::MAX, Ordering::Relaxed);
        self.publish_to_each().await;
        let got = || ends.iter().map(|end| end.got.load(Ordering::Relaxed));
        while got().any(|got| got == 0) {
            sleep(Duration::from_millis(1)).await;
        }
        let line = got().next().unwrap_or_default();
        assert!(got().all(|got| got == line), "every end gets the same");
        self.gate.promised.store(line, Ordering::Relaxed);
        self.line = line - digits(1);
        self.published.store(1, Ordering::Relaxed);
    }

    /// Publishes `events` to each channel, and says how long it took until every end had all of
    /// their bytes.
    pub(crate) async fn publish(&self, events: u64) -> Duration {
        let before = self.published.fetch_add(events, Ordering::Relaxed);
        let lines = (before + 1..=before + events).map(|offset| self.line + digits(offset));
        self.gate.close(lines.sum());
        let start = Instant::now();
        for _ in 0..events {
            self.publish_to_each().await;
        }
        let opened = timeout(Duration::from_secs(30), self.gate.opened.notified());
        opened
            .await
            .expect("every end gets every byte, and none twice");
        start.elapsed()
    }

    async fn publish_to_each(&self) {
        for event in &self.events {
            let published = self.node.publish(event.clone()).await;
            published.expect("the node takes events");
        }
    }
}

fn config(connections: usize) -> Config {
    let mut config = Config::default();
    config.limits.connections = connections;
    // The ends never answer a ping.
    config.heartbeat.ping = Duration::from_secs(1 << 30);
    // A thousand channels with the default of a thousand events would hold half a gigabyte.
    config.history.events = 100;
    config
}

async fn join(
    node: &Node,
    number: usize,
    channel: &Channel,
    outlet: Outlet,
    end: &Arc<End>,
) -> Session {
    let identity = Identity::new(&number.to_string()).expect("a number can be a user's id");
    let opening = Opening {
        transport: "websocket",
        codec: Arc::new(Centrifuge),
        framing: Arc::new(WebSocketFraming),
        handshake: Handshake::default(),
        identity: Some(identity),
        channels: Vec::new(),
        own_channel: false,
        session: None,
    };
    let mut session = node.open(opening).expect("the node has room");
    match outlet {
        Outlet::Lent => session.outbound().lend(Lent(end.clone())),
        Outlet::Task => drop(tokio::spawn(take_batches(session.outbound(), end.clone()))),
    }
    let commands = format!(
        "{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"{channel}\"}}}}"
    );
    let received = Box::pin(session.receive(commands.as_bytes())).await;
    received.expect("the commands are in order");
    session
}

async fn take_batches(outbound: Outbound, end: Arc<End>) {
    let mut batch = Batch::default();
    while outbound.next_batch(&mut batch).await.is_ok() {
        let mut lines = 0;
        while batch.has_remaining() {
            let frame = batch.chunk();
            lines += line_bytes(frame);
            batch.advance(frame.len());
        }
        end.took(lines);
    }
}

/// A socket that takes everything at once.
struct Lent(Arc<End>);

impl DirectWrite for Lent {
    fn try_write(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0
            .took(frames.iter().map(|frame| line_bytes(frame)).sum());
        Ok(frames.iter().map(|frame| frame.len()).sum())
    }
}

/// The far end of one connection. On a cache line of its own, as the memory of sockets is.
#[repr(align(128))]
struct End {
    gate: Arc<Gate>,
    worker: usize,
    got: AtomicU64,
}

impl End {
    fn new(gate: &Arc<Gate>, worker: usize) -> Arc<Self> {
        Arc::new(Self {
            gate: gate.clone(),
            worker,
            got: AtomicU64::new(0),
        })
    }

    /// Called by one writer at a time.
    fn took(&self, lines: u64) {
        let got = self.got.load(Ordering::Relaxed) + lines;
        self.got.store(got, Ordering::Relaxed);
        if got == self.gate.promised.load(Ordering::Relaxed) {
            self.gate.passed(self.worker);
        }
    }
}

/// Opens when every end has got what it was promised.
struct Gate {
    /// What each end gets from its first event on.
    promised: AtomicU64,
    /// Ends that still wait; by worker, so that workers do not contend for the count.
    waiting: Box<[Waiting]>,
    workers_left: AtomicUsize,
    opened: Notify,
}

#[repr(align(128))]
struct Waiting {
    ends: usize,
    left: AtomicUsize,
}

impl Gate {
    fn new(ends: usize, workers: usize) -> Self {
        let waiting = (0..workers).map(|worker| Waiting {
            ends: (ends + workers - 1 - worker) / workers,
            left: AtomicUsize::new(0),
        });
        Self {
            promised: AtomicU64::new(u64::MAX),
            waiting: waiting.collect(),
            workers_left: AtomicUsize::new(0),
            opened: Notify::new(),
        }
    }

    fn close(&self, lines: u64) {
        for waiting in &self.waiting {
            waiting.left.store(waiting.ends, Ordering::Relaxed);
        }
        self.workers_left
            .store(self.waiting.len(), Ordering::Relaxed);
        self.promised.fetch_add(lines, Ordering::Relaxed);
    }

    fn passed(&self, worker: usize) {
        if self.waiting[worker].left.fetch_sub(1, Ordering::AcqRel) == 1
            && self.workers_left.fetch_sub(1, Ordering::AcqRel) == 1
        {
            self.opened.notify_one();
        }
    }
}

/// Bytes of the lines in frames that lie one behind the other, line ends included. Unlike the
/// bytes of the frames themselves, they do not depend on which events shared a flush.
fn line_bytes(mut frames: &[u8]) -> u64 {
    let mut bytes = 0;
    while let [_, short, rest @ ..] = frames {
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let (long, rest) = rest.split_at(extended);
        let length = match extended {
            0 => usize::from(*short),
            _ => long
                .iter()
                .fold(0, |length, &byte| length << 8 | usize::from(byte)),
        };
        // The last line of a message has no line end of its own.
        bytes += length as u64 + 1;
        frames = &rest[length..];
    }
    bytes
}

fn digits(number: u64) -> u64 {
    u64::from(number.checked_ilog10().unwrap_or(0)) + 1
}
