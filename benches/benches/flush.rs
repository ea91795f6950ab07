//! One flush: what encoding it costs, once for all subscribers of a wire form, and what the way
//! from `Node::publish` to a single subscriber costs.
//!
//! `Messages`, into which a codec writes, is made by the node alone. The codec under the stopwatch
//! therefore runs inside a node, and the clock stands still while events are published.

#[path = "support/events.rs"]
mod events;
#[path = "support/sink.rs"]
mod sink;

use std::cell::LazyCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fanfare::codec::centrifuge::Centrifuge;
use fanfare::codec::{Messages, Notice, Reply, Request};
use fanfare::{
    Channel, Codec, Config, Disconnect, Error, Event, Handshake, Identity, Node, Opening, Priority,
    Publication, Session,
};
use fanfare_transports::websocket::WebSocketFraming;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use crate::sink::Sink;

/// As in the servers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EVENTS: [usize; 4] = [1, 16, 64, 512];

/// Centrifuge, with a stopwatch at its publications.
#[derive(Debug, Default)]
struct Timed {
    nanoseconds: AtomicU64,
    /// Publications of the last flush.
    encoded: AtomicUsize,
    done: Notify,
}

#[derive(Debug)]
struct Stopwatch(Arc<Timed>);

impl Codec for Stopwatch {
    fn name(&self) -> &'static str {
        Centrifuge.name()
    }

    fn publications(
        &self,
        channel: &Channel,
        publications: &[Arc<Publication>],
        messages: &mut Messages<'_>,
    ) {
        let start = Instant::now();
        Centrifuge.publications(channel, publications, messages);
        // Frames the last message, which the node would do right after this.
        messages.end_message();
        let spent = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.nanoseconds.fetch_add(spent, Ordering::Relaxed);
        self.0.encoded.store(publications.len(), Ordering::Relaxed);
        self.0.done.notify_one();
    }

    fn reply(&self, id: u32, reply: Result<&Reply, &Error>, messages: &mut Messages<'_>) {
        Centrifuge.reply(id, reply, messages);
    }

    fn notice(&self, notice: &Notice, messages: &mut Messages<'_>) {
        Centrifuge.notice(notice, messages);
    }

    fn ping(&self, messages: &mut Messages<'_>) {
        Centrifuge.ping(messages);
    }

    fn decode(&self, message: &[u8]) -> Result<Vec<Request>, Disconnect> {
        Centrifuge.decode(message)
    }
}

/// A node with one subscriber.
struct Stage {
    runtime: Runtime,
    node: Node,
    timed: Arc<Timed>,
    /// All but the last are of medium priority, so that they go out together with it.
    events: Vec<Event>,
    _session: Session,
}

impl Stage {
    fn new(count: usize) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime starts");
        let timed = Arc::new(Timed::default());
        let (node, session) = runtime.block_on(subscribed(&timed));
        let channel = Channel::new("thread.456").expect("the name is a channel name");
        let event = |at| {
            let event = Event::new(
                channel.clone(),
                "forum.comment.created",
                events::payload(300, at),
            );
            let last = at + 1 == count;
            event.expect("the payload is JSON").with_priority(if last {
                Priority::High
            } else {
                Priority::Medium
            })
        };
        let events = (0..count).map(event).collect();
        Self {
            runtime,
            node,
            timed,
            events,
            _session: session,
        }
    }

    async fn publish(&self) {
        for event in &self.events {
            self.node
                .publish(event.clone())
                .await
                .expect("the node takes events");
        }
        self.timed.done.notified().await;
        assert_eq!(
            self.timed.encoded.load(Ordering::Relaxed),
            self.events.len(),
            "one flush has all"
        );
    }

    /// The time spent on encoding alone.
    fn encode(&self, times: u64) -> Duration {
        let before = self.timed.nanoseconds.load(Ordering::Relaxed);
        self.whole(times);
        Duration::from_nanos(self.timed.nanoseconds.load(Ordering::Relaxed) - before)
    }

    fn whole(&self, times: u64) -> Duration {
        self.runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..times {
                self.publish().await;
            }
            start.elapsed()
        })
    }
}

async fn subscribed(timed: &Arc<Timed>) -> (Node, Session) {
    let mut config = Config::default();
    config.heartbeat.ping = Duration::from_secs(1 << 30);
    let node = Node::builder().config(config).start().await;
    let node = node.expect("the numbers fit each other, and memory is always there");
    let opening = Opening {
        transport: "websocket",
        codec: Arc::new(Stopwatch(timed.clone())),
        framing: Arc::new(WebSocketFraming),
        handshake: Handshake::default(),
        identity: Some(Identity::new("1").expect("a number can be a user's id")),
        channels: vec![Channel::new("thread.456").expect("the name is a channel name")],
        own_channel: false,
        session: None,
    };
    let mut session = node.open(opening).expect("the node has room");
    session.outbound().lend(Sink);
    let connected = Box::pin(session.receive(br#"{"id":1,"connect":{}}"#)).await;
    connected.expect("the command is in order");
    (node, session)
}

fn flush(criterion: &mut Criterion) {
    type Measure = fn(&Stage, u64) -> Duration;
    let measures: [(&str, Measure); 2] = [("encode", Stage::encode), ("whole", Stage::whole)];
    for (name, measure) in measures {
        let mut group = criterion.benchmark_group(format!("flush/{name}"));
        group.sample_size(50);
        group.warm_up_time(Duration::from_millis(500));
        group.measurement_time(Duration::from_secs(1));
        for events in EVENTS {
            let stage = LazyCell::new(|| Stage::new(events));
            group.throughput(Throughput::Elements(events as u64));
            group.bench_function(BenchmarkId::from_parameter(events), |bencher| {
                bencher.iter_custom(|times| measure(&stage, times));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, flush);
criterion_main!(benches);
