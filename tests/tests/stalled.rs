//! One client that stops reading, among fifty that read, on each transport.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use std::net::SocketAddr;
use std::time::Duration;

use fanfare_tests::mechamap::urgent_comment;
use fanfare_tests::{
    Carrier, Engine, Follower, Http2, RawSocket, Request, Server, Token, Transport, until,
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

/// History for the whole of what is published, so that whoever comes back can get it all.
const CONFIG: &str = "
    limits = { connections_per_user = 1000 }
    history = { events = 100000, bytes = 67108864 }
";
const THREAD: u64 = 456;
const READERS: usize = 50;
/// Bytes of an event, about.
const LENGTH: usize = 16 << 10;
/// So few that nobody who reads falls behind by half an outbox.
const BATCH: u64 = 16;
/// 24 MiB: more than an outbox and the buffers of any socket hold.
const MOST: u64 = 1536;
/// Beyond what history keeps, which is most of it.
const ALLOWANCE: u64 = 96 << 20;
/// A receive buffer that holds next to nothing.
const NARROW: u32 = 4096;
const WHOLE: Duration = Duration::from_secs(120);
/// How long the server may keep a connection that has ended for it.
const LET_GO: Duration = Duration::from_secs(30);

fn long_comment(id: u64) -> Value {
    let mut envelope = urgent_comment(THREAD, id);
    envelope["data"]["comment"]["content"] = "x".repeat(LENGTH).into();
    envelope
}

/// Readers on all transports, and how many events each has.
struct Readers {
    counts: Vec<watch::Receiver<u64>>,
    running: Vec<tokio::task::JoinHandle<(Transport, Follower)>>,
    last: watch::Sender<Option<u64>>,
}

impl Readers {
    async fn begin(address: SocketAddr) -> Self {
        let (last, told) = watch::channel(None);
        let mut readers = Self {
            counts: Vec::new(),
            running: Vec::new(),
            last,
        };
        for transport in Transport::ALL.into_iter().cycle().take(READERS) {
            let mut follower = Follower::begin(address, 8, THREAD).await;
            let told = told.clone();
            let (progress, count) = watch::channel(0);
            readers.counts.push(count);
            readers.running.push(tokio::spawn(async move {
                let has_all = |seen: &[u64]| {
                    progress.send_replace(seen.len() as u64);
                    told.borrow().is_some_and(|last| seen.len() as u64 >= last)
                };
                let followed = follower.follow(transport, address, has_all).await;
                followed.unwrap_or_else(|error| panic!("{transport:?}: {error}"));
                (transport, follower)
            }));
        }
        readers
    }

    /// Waits until all of them have this many events.
    async fn reach(&mut self, events: u64) {
        for count in &mut self.counts {
            let reached = count.wait_for(|count| *count >= events);
            let reached = timeout(WHOLE, reached)
                .await
                .expect("those who read get all");
            reached.expect("it reads on");
        }
    }

    async fn assert_got_all(self, last: u64) {
        for running in self.running {
            let (transport, follower) = running.await.unwrap();
            let all = follower.seen.iter().copied().eq(1..=last);
            assert!(all, "{transport:?}: {:?}", follower.seen);
            assert_eq!(follower.losses, 0, "{transport:?}");
        }
    }
}

/// Publishes until `is_over`, at the pace of those who read, and gives the last id.
async fn publish(
    server: &Server,
    readers: &mut Readers,
    mut is_over: impl AsyncFnMut(u64) -> bool,
) -> u64 {
    let mut first = 1;
    loop {
        let end = first + BATCH - 1;
        let over = is_over(first - 1).await;
        if over {
            readers.last.send_replace(Some(end));
        }
        let batch = (first..=end).map(long_comment).collect::<Value>();
        server.publish(&batch).await;
        readers.reach(end).await;
        if over {
            return end;
        }
        first = end + 1;
    }
}

async fn health(server: &Server) -> (u64, u64) {
    let metrics = &server.http().get("/health", &[]).await.json()["metrics"];
    let number = |name: &str| metrics[name].as_u64().unwrap();
    (number("memory"), number("connections"))
}

async fn slow(server: &Server) -> f64 {
    server.metric("fanfare_slow_disconnects_total").await
}

/// Has a client stall in `stalling`'s way, which gives what keeps its connection open. Checks that it
/// is ended as slow, that nobody else notices, and that it comes back over `transport` to everything.
async fn assert_ended_alone<Held>(
    transport: Transport,
    stalling: impl AsyncFn(SocketAddr) -> Held,
) {
    let server = Server::configured(CONFIG).await;
    let whole = Box::pin(async {
        let mut absent = Follower::begin(server.address(), 7, THREAD).await;
        let held = stalling(server.address()).await;
        let (before, connections) = health(&server).await;
        assert_eq!(connections, 1, "the one that will stall");
        let mut readers = Readers::begin(server.address()).await;
        let is_over = async |published| {
            assert!(published < MOST, "{published} events overflow nothing");
            slow(&server).await > 0.0
        };
        let last = publish(&server, &mut readers, is_over).await;
        let (after, _) = health(&server).await;
        assert!(after < before + ALLOWANCE, "{before} bytes became {after}");
        readers.assert_got_all(last).await;
        until("the connection is let go", LET_GO, async || {
            (health(&server).await.1 == 0).then_some(())
        })
        .await;
        assert_eq!(slow(&server).await, 1.0);
        let all = |seen: &[u64]| seen.len() as u64 >= last;
        absent
            .follow(transport, server.address(), all)
            .await
            .unwrap();
        assert!(absent.seen.iter().copied().eq(1..=last));
        assert_eq!(absent.losses, 0);
        drop(held);
        eprintln!("{last} events, {before} bytes became {after}");
    });
    timeout(WHOLE, whole).await.expect("in time");
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_that_is_not_read_is_ended_alone() {
    assert_ended_alone(Transport::WebSocket, async |address| {
        let mut socket = RawSocket::connect_narrow(address, NARROW).await;
        socket
            .upgrade(&format!("/ws?channel=thread.{THREAD}"))
            .await;
        socket.introduce(&Token::of(7).sign()).await;
        socket
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_that_is_not_read_is_ended_alone() {
    assert_ended_alone(Transport::EventStream, async |address| {
        let request = Request::get(address, &format!("/sse?channel=thread.{THREAD}"));
        let request = request.token(&Token::of(7)).narrow(NARROW);
        request.send().await.unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_of_http2_that_is_not_read_is_ended_alone() {
    assert_ended_alone(Transport::EventStream, async |address| {
        let connection = Http2::connect(address).await;
        let token = format!("Bearer {}", Token::of(7).sign());
        let path = format!("/sse?channel=thread.{THREAD}");
        let stream = connection.begin(&path, &[("authorization", &token)]).await;
        assert_eq!(stream.status(), 200);
        (connection, stream)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_io_websocket_that_is_not_read_is_ended_alone() {
    let carrier = Carrier::WebSocket;
    assert_ended_alone(Transport::SocketIo(carrier), async |address| {
        let mut socket = RawSocket::connect_narrow(address, NARROW).await;
        let query = format!("EIO=4&transport=websocket&channel=thread.{THREAD}");
        socket.upgrade(&format!("/socket.io/?{query}")).await;
        let connect = format!("40{}", json!({ "token": Token::of(7).sign() }));
        socket.send_text(&connect).await;
        assert!(socket.text().await.starts_with('0'));
        assert!(socket.text().await.starts_with("40"));
        socket
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_io_client_that_polls_no_more_is_ended_alone() {
    let carrier = Carrier::Polling;
    assert_ended_alone(Transport::SocketIo(carrier), async |address| {
        let query = format!("&channel=thread.{THREAD}");
        let mut engine = Engine::open(address, carrier, &query).await.unwrap();
        let auth = json!({ "token": Token::of(7).sign() });
        assert!(engine.introduce(&auth).await.unwrap()["sid"].is_string());
        engine
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_websocket_that_is_not_read_is_ended_alone() {
    assert_ended_alone(Transport::HttpStream, async |address| {
        let connect = json!({ "id": 1, "connect": { "token": Token::of(7).sign() } });
        let path = format!("/connection/http_stream?channel=thread.{THREAD}");
        let request = Request::post(address, &path, connect.to_string()).narrow(NARROW);
        request.send().await.unwrap()
    })
    .await;
}

/// A poll is over for the server once it is answered: the answer is all that waits for a client
/// which does not read it, and the client asks again with the cursor that it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_whose_answer_is_not_read_holds_up_nobody() {
    const EVENTS: u64 = 192;
    let server = Server::configured(CONFIG).await;
    let whole = Box::pin(async {
        let address = server.address();
        let mut absent = Follower::begin(address, 7, THREAD).await;
        let (before, _) = health(&server).await;
        let mut readers = Readers::begin(address).await;
        let mut held = None;
        let asking = absent.poll_request(address, 25);
        let is_over = async |published| {
            // What it missed by now is more than one answer holds, and much more than a socket.
            if published >= EVENTS / 2 && held.is_none() {
                let request = asking.clone().narrow(NARROW);
                held = Some(request.send().await.unwrap());
            }
            published >= EVENTS
        };
        let last = publish(&server, &mut readers, is_over).await;
        let (after, _) = health(&server).await;
        assert!(after < before + ALLOWANCE, "{before} bytes became {after}");
        readers.assert_got_all(last).await;
        until("no poll waits", LET_GO, async || {
            (health(&server).await.1 == 0).then_some(())
        })
        .await;
        let all = |seen: &[u64]| seen.len() as u64 >= last;
        let followed = absent.follow(Transport::LongPoll, address, all).await;
        followed.unwrap();
        assert!(absent.seen.iter().copied().eq(1..=last));
        assert_eq!(absent.losses, 0);
        drop(held);
    });
    timeout(WHOLE, whole).await.expect("in time");
    server.assert_healthy().await;
}

/// Nothing of the system's ends a stream of HTTP/2 whose connection is alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_whose_answer_is_not_read_on_http2_is_cut_and_counted() {
    let config = format!("{CONFIG}\nheartbeat = {{ comment = 2 }}");
    let server = Server::configured(&config).await;
    let connection = Http2::connect_narrow(server.address(), 64 << 10).await;
    let token = format!("Bearer {}", Token::of(7).sign());
    let authorization = [("authorization", &*token)];
    let path = format!("/poll?channel=thread.{THREAD}&wait=0");
    let begun = connection.get(&path, &authorization).await.json();
    let cursor = begun["cursor"].as_str().unwrap();
    for id in 1..=40 {
        server.publish(&long_comment(id)).await;
    }
    let path = format!("{path}&cursor={cursor}");
    let unread = connection.begin(&path, &authorization).await;
    assert_eq!(unread.status(), 200);
    until("it counts as slow", LET_GO, async || {
        (slow(&server).await == 1.0).then_some(())
    })
    .await;
    let again = connection.get(&path, &authorization).await.json();
    assert_eq!(
        again["events"].as_array().unwrap().len(),
        40,
        "others go on"
    );
    drop(unread);
    server.assert_healthy().await;
}

/// Too little comes to overflow anything, so the pings tell that nobody is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_io_client_that_polls_no_more_is_gone_when_its_ping_times_out() {
    let config = format!("{CONFIG}\nheartbeat = {{ ping = 2, pong = 1 }}");
    let server = Server::configured(&config).await;
    let mut absent = Follower::begin(server.address(), 7, THREAD).await;
    let query = format!("&channel=thread.{THREAD}");
    let engine = Engine::open(server.address(), Carrier::Polling, &query).await;
    let mut engine = engine.unwrap();
    let auth = json!({ "token": Token::of(7).sign() });
    assert!(engine.introduce(&auth).await.unwrap()["sid"].is_string());
    assert_eq!(health(&server).await.1, 1);
    server.publish(&urgent_comment(THREAD, 1)).await;
    until("the session is let go", LET_GO, async || {
        (health(&server).await.1 == 0).then_some(())
    })
    .await;
    assert_eq!(slow(&server).await, 0.0, "it is away, not slow");
    let error = engine.event().await.expect_err("the session is gone");
    assert!(error.to_string().contains("Session ID unknown"), "{error}");
    let carrier = Transport::SocketIo(Carrier::Polling);
    let followed = absent.follow(carrier, server.address(), |seen| seen == [1]);
    followed.await.unwrap();
    assert_eq!(absent.losses, 0);
}
