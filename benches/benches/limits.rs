//! What a client's publication costs, let through or refused, and what reading envelopes from the
//! server API costs.

#[path = "support/events.rs"]
mod events;
#[path = "support/sink.rs"]
mod sink;

use std::cell::RefCell;
use std::hint::black_box;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fanfare::codec::centrifuge::Centrifuge;
use fanfare::config::Rate;
use fanfare::{Config, DirectWrite, Handshake, Identity, Node, Opening, Session};
use fanfare_examples::mechamap::MechaMap;
use fanfare_examples::platform::Platform;
use fanfare_transports::websocket::WebSocketFraming;
use tokio::runtime::{Builder, Runtime};

use crate::sink::Sink;

/// As in the servers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PUBLISH: &[u8] = br#"{"id":2,"publish":{"channel":"thread.456","data":{"event":"forum.typing.started","data":{"user":{"id":1,"name":"Linh Tran"},"expires_at":"2025-07-17T10:30:10Z"}}}}"#;
/// More than a client can publish.
const AMPLE: Rate = Rate {
    events: 1_000_000,
    per: Duration::from_millis(1),
};
/// Used up by the first publication, for longer than a bench takes.
const USED_UP: Rate = Rate {
    events: 1,
    per: Duration::from_secs(1 << 20),
};

/// The last reply that was written.
#[derive(Clone, Default)]
struct Reply(Arc<Mutex<String>>);

impl DirectWrite for Reply {
    fn try_write(&self, frames: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes = frames
            .iter()
            .flat_map(|frame| frame.iter().copied())
            .collect::<Vec<_>>();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            String::from_utf8_lossy(&bytes).into_owned();
        Ok(bytes.len())
    }
}

/// A client that publishes, on its node.
struct Client {
    runtime: Runtime,
    session: RefCell<Session>,
}

impl Client {
    /// A client whose second publication is answered with `expected`.
    fn new(config: Config, expected: &str) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime starts");
        let session = runtime.block_on(async {
            let node = Node::builder()
                .config(config)
                .catalog(MechaMap::catalog())
                .authorizer(MechaMap::authorizer())
                .start()
                .await
                .expect("the numbers fit each other, and memory is always there");
            let mut session = open(&node);
            let reply = Reply::default();
            session.outbound().lend(reply.clone());
            for command in [br#"{"id":1,"connect":{}}"#, PUBLISH, PUBLISH] {
                let received = Box::pin(session.receive(command)).await;
                received.expect("the command is in order");
            }
            let reply = reply
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            assert!(reply.contains(expected), "{reply}");
            session.outbound().lend(Sink);
            session
        });
        Self {
            runtime,
            session: RefCell::new(session),
        }
    }

    fn publish(&self, times: u64) -> Duration {
        let mut session = self.session.borrow_mut();
        self.runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..times {
                let received = Box::pin(session.receive(PUBLISH)).await;
                received.expect("the command is in order");
            }
            start.elapsed()
        })
    }
}

fn open(node: &Node) -> Session {
    let opening = Opening {
        transport: "websocket",
        codec: Arc::new(Centrifuge),
        framing: Arc::new(WebSocketFraming),
        handshake: Handshake::default(),
        identity: Some(Identity::new("1").expect("a number can be a user's id")),
        channels: Vec::new(),
        own_channel: false,
        session: None,
    };
    node.open(opening).expect("the node has room")
}

fn config(per_user: Option<Rate>, per_node: Option<Rate>, others: Option<Rate>) -> Config {
    let mut config = Config::default();
    config.heartbeat.ping = Duration::from_secs(1 << 30);
    config.limits.events_per_user = per_user;
    config.limits.events_per_node = per_node;
    config.limits.events_per_session = others;
    config.limits.events_per_channel = others;
    config
}

fn publish(criterion: &mut Criterion) {
    let ample = Some(AMPLE);
    let cases = [
        (
            "allowed/without_limits",
            config(None, None, None),
            r#""publish":{}"#,
        ),
        (
            "allowed/four_limits",
            config(ample, ample, ample),
            r#""publish":{}"#,
        ),
        (
            "refused/by_user",
            config(Some(USED_UP), ample, ample),
            "of this user",
        ),
        (
            "refused/by_node",
            config(ample, Some(USED_UP), ample),
            "of this node",
        ),
    ];
    let mut group = criterion.benchmark_group("limits/publish");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(1));
    for (name, config, expected) in cases {
        let client = std::cell::LazyCell::new(|| Client::new(config.clone(), expected));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| client.publish(times));
        });
    }
    group.finish();
}

fn read_from_server(criterion: &mut Criterion) {
    let catalog = MechaMap::catalog();
    let limits = Config::default().limits;
    let one = events::payload(300, 0);
    let batch = (0..100)
        .map(|at| events::payload(300, at))
        .collect::<Vec<_>>()
        .join(",");
    let mut group = criterion.benchmark_group("limits/read_from_server");
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(1));
    for (count, body) in [(1, one), (100, format!("[{batch}]"))] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let admitted = catalog.read_from_server(black_box(body.as_bytes()), &limits);
                admitted.expect("the envelopes are valid")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, publish, read_from_server);
criterion_main!(benches);
