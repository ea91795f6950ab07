//! What came for a user who was away waits, whichever way the user comes back.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use std::path::Path;
use std::time::Duration;

use fanfare_tests::mechamap::message;
use fanfare_tests::{
    Carrier, Client, Engine, EventStream, Launch, Request, SOON, Server, Token, until,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

const USER: u64 = 7;
const OWN: &str = "user.7";
/// Pings so often that some are answered within a visit.
const CONFIG: &str = "heartbeat = { ping = 3, pong = 2, comment = 1 }";
/// A visit in which at least two pings come.
const LONG: Duration = Duration::from_secs(9);

/// How the user comes.
#[derive(Clone, Copy, Debug)]
enum Way {
    WebSocket,
    EventStream,
    SocketIo(Carrier),
}

const WAYS: [Way; 4] = [
    Way::WebSocket,
    Way::EventStream,
    Way::SocketIo(Carrier::WebSocket),
    Way::SocketIo(Carrier::Polling),
];

/// A connection that brought no cursor.
enum Visit {
    WebSocket {
        client: Client,
        seen: usize,
        missed: Vec<u64>,
    },
    EventStream(Box<EventStream>),
    SocketIo(Engine),
}

impl Visit {
    async fn begin(server: &Server, way: Way) -> Self {
        match way {
            Way::WebSocket => {
                let client = Client::connect(server, &Token::of(USER)).await;
                let subscribed = client.subscribe(OWN).await.unwrap();
                assert!(!subscribed.was_recovering, "{subscribed:?}");
                let missed = subscribed.publications.iter();
                let missed = missed.map(|publication| id(&publication.json()));
                Self::WebSocket {
                    missed: missed.collect(),
                    client,
                    seen: 0,
                }
            }
            Way::EventStream => {
                let token = Token::of(USER).channels(&[OWN]);
                let request = Request::get(server.address(), "/sse").token(&token);
                Self::EventStream(Box::new(EventStream::open(request).await))
            }
            Way::SocketIo(carrier) => {
                let engine = Engine::open(server.address(), carrier, "").await;
                let mut engine = engine.unwrap();
                let auth = json!({ "token": Token::of(USER).sign() });
                assert!(engine.introduce(&auth).await.unwrap()["sid"].is_string());
                Self::SocketIo(engine)
            }
        }
    }

    /// The id of the next message.
    async fn next(&mut self) -> u64 {
        match self {
            Self::WebSocket {
                client,
                seen,
                missed,
            } => {
                if !missed.is_empty() {
                    return missed.remove(0);
                }
                *seen += 1;
                id(&client.pushes(*seen, SOON).await[*seen - 1].json())
            }
            Self::EventStream(stream) => id(&stream.message().await.json()),
            Self::SocketIo(engine) => {
                let (name, arguments) = engine.event().await.unwrap();
                assert_eq!(name, "messaging.message.sent");
                id(&arguments[0])
            }
        }
    }

    /// Checks that the next messages are these.
    async fn assert_next(&mut self, way: Way, ids: &[u64]) {
        for wanted in ids {
            let next = timeout(SOON, self.next()).await;
            let next = next.unwrap_or_else(|_| panic!("{way:?}: {wanted} does not come"));
            assert_eq!(next, *wanted, "{way:?}");
        }
    }

    /// Stays for a while in which nothing comes, and answers what the server asks.
    async fn stay(&mut self) {
        match self {
            Self::WebSocket { client, .. } => {
                tokio::time::sleep(LONG).await;
                assert!(client.is_open());
            }
            Self::EventStream(stream) => {
                let event = timeout(LONG, stream.event()).await;
                assert!(event.is_err(), "{event:?}");
            }
            Self::SocketIo(engine) => {
                let event = timeout(LONG, engine.event()).await;
                assert!(event.is_err(), "{event:?}");
            }
        }
    }
}

fn id(envelope: &Value) -> u64 {
    envelope["data"]["message"]["id"].as_u64().unwrap()
}

async fn publish(server: &Server, ids: std::ops::RangeInclusive<u64>) {
    let messages = ids.map(|id| message(USER, id)).collect::<Value>();
    server.publish(&messages).await;
}

/// Waits until the server knows that everyone has left.
async fn assert_empty(server: &Server) {
    let within = Duration::from_secs(20);
    until("all are gone", within, async || {
        let health = server.http().get("/health", &[]).await.json();
        (health["metrics"]["connections"] == 0).then_some(())
    })
    .await;
}

async fn assert_waits(way: Way) {
    let server = Server::configured(CONFIG).await;
    // Before the first visit nothing is owed.
    publish(&server, 1..=2).await;
    let mut visit = Visit::begin(&server, way).await;
    publish(&server, 3..=3).await;
    visit.assert_next(way, &[3]).await;
    visit.stay().await;
    drop(visit);
    assert_empty(&server).await;

    publish(&server, 4..=6).await;
    let mut visit = Visit::begin(&server, way).await;
    visit.assert_next(way, &[4, 5, 6]).await;
    publish(&server, 7..=7).await;
    visit.assert_next(way, &[7]).await;
    visit.stay().await;
    drop(visit);
    assert_empty(&server).await;

    // What pings proved to have arrived does not come again.
    let mut visit = Visit::begin(&server, way).await;
    publish(&server, 8..=8).await;
    visit.assert_next(way, &[8]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_gets_once_what_waited() {
    assert_waits(Way::WebSocket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_gets_once_what_waited() {
    assert_waits(Way::EventStream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_io_websocket_gets_once_what_waited() {
    assert_waits(Way::SocketIo(Carrier::WebSocket)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_io_polling_gets_once_what_waited() {
    assert_waits(Way::SocketIo(Carrier::Polling)).await;
}

fn launch(folder: &Path) -> Launch {
    Launch::mechamap()
        .argument("--history")
        .argument(format!("file:{}", folder.display()))
        .config(CONFIG)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_survives_the_server_being_killed_and_comes_over_any_transport() {
    let folder = TempDir::new().unwrap();
    let mut server = launch(folder.path()).start().await;
    let mut visit = Visit::begin(&server, Way::WebSocket).await;
    let mut first = 1;
    for way in WAYS {
        publish(&server, first..=first + 1).await;
        visit.assert_next(way, &[first, first + 1]).await;
        visit.stay().await;
        drop(visit);
        assert_empty(&server).await;
        publish(&server, first + 2..=first + 4).await;
        server.kill();
        assert_eq!(server.exit(SOON).await, None);
        server = launch(folder.path()).start().await;
        visit = Visit::begin(&server, way).await;
        visit
            .assert_next(way, &[first + 2, first + 3, first + 4])
            .await;
        first += 5;
    }
}
