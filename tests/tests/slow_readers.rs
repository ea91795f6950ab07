//! Clients that read more slowly than their events come, or not at all.

use std::time::Duration;

use fanfare_tests::mechamap::urgent_comment;
use fanfare_tests::raw::{CLOSE, TEXT};
use fanfare_tests::{Client, Launch, RawSocket, SOON, Server, Token, until};
use serde_json::{Value, json};

/// A receive buffer that holds next to nothing.
const NARROW: u32 = 4096;
/// An outbox that a few events fill.
const SMALL: &str = "
    limits = { envelope = 8192 }
    buffers = { outbox = 16384, flush = 8192, pending = 65536, message = 8192 }
";
/// An outbox that nothing here fills.
const LARGE: &str = "buffers = { outbox = 268435456 }";
/// How long the server may keep a connection that has ended for it.
const LET_GO: Duration = Duration::from_secs(20);

/// A subscriber of a thread that has read the replies and reads no more.
async fn stalled_subscriber(server: &Server, user: u64, thread: u64) -> RawSocket {
    let mut socket = RawSocket::connect_narrow(server.address(), NARROW).await;
    socket
        .upgrade(&format!("/ws?channel=thread.{thread}"))
        .await;
    socket.introduce(&Token::of(user).sign()).await;
    socket
}

/// A comment of about `bytes`.
fn long_comment(thread: u64, id: u64, bytes: usize) -> Value {
    let mut envelope = urgent_comment(thread, id);
    envelope["data"]["comment"]["content"] = "x".repeat(bytes).into();
    envelope
}

/// Publishes to a thread until a subscriber is found to be slow.
async fn publish_until_slow(server: &Server, thread: u64) {
    for batch in 0..200 {
        if server.metric("fanfare_slow_disconnects_total").await > 0.0 {
            return;
        }
        let comments = (1..=20)
            .map(|at| long_comment(thread, batch * 20 + at, 7000))
            .collect::<Vec<_>>();
        server.publish(&Value::from(comments)).await;
    }
    panic!("28 MB did not fill the socket of a client that does not read");
}

async fn connections(server: &Server) -> u64 {
    let health = server.http().get("/health", &[]).await.json();
    health["metrics"]["connections"]
        .as_u64()
        .expect("a number of connections")
}

async fn assert_let_go(server: &Server) {
    until("the connection is let go", LET_GO, async || {
        (connections(server).await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_falls_behind_is_counted_and_closed_with_3008() {
    let server = Server::configured(SMALL).await;
    let bystander = Client::connect(&server, &Token::of(8)).await;
    bystander.subscribe("thread.2").await.unwrap();
    let mut slow = stalled_subscriber(&server, 7, 1).await;
    assert_eq!(server.metric("fanfare_slow_disconnects_total").await, 0.0);
    publish_until_slow(&server, 1).await;
    assert_eq!(server.metric("fanfare_slow_disconnects_total").await, 1.0);
    assert_eq!(slow.close_code().await, Some(3008));
    server.publish(&urgent_comment(2, 1)).await;
    bystander.pushes(1, SOON).await;
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_fell_behind_and_never_reads_again_is_let_go() {
    let server = Server::configured(SMALL).await;
    let _slow = stalled_subscriber(&server, 7, 1).await;
    publish_until_slow(&server, 1).await;
    assert_let_go(&server).await;
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_neither_reads_nor_answers_pings_is_let_go() {
    let server =
        Server::configured(&format!("{LARGE}\nheartbeat = {{ ping = 2, pong = 1 }}")).await;
    let _dead = stalled_subscriber(&server, 7, 1).await;
    for batch in 0..16 {
        let comments = (1..=20)
            .map(|at| long_comment(1, batch * 20 + at, 60_000))
            .collect::<Vec<_>>();
        server.publish(&Value::from(comments)).await;
    }
    assert_let_go(&server).await;
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_token_lets_a_client_go_that_does_not_read() {
    let server = Server::configured(&format!("{LARGE}\nheartbeat = {{ expiry_grace = 1 }}")).await;
    let mut socket = RawSocket::connect_narrow(server.address(), NARROW).await;
    socket.upgrade("/ws?channel=thread.1").await;
    socket
        .introduce(
            &Token::of(7)
                .ending(fanfare_tests::token::from_now(3))
                .sign(),
        )
        .await;
    for batch in 0..16 {
        let comments = (1..=20)
            .map(|at| long_comment(1, batch * 20 + at, 60_000))
            .collect::<Vec<_>>();
        server.publish(&Value::from(comments)).await;
    }
    assert_let_go(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_pauses_within_its_budget_misses_nothing() {
    const EVENTS: u64 = 2000;
    let server = Server::configured(LARGE).await;
    let mut slow = stalled_subscriber(&server, 7, 1).await;
    for first in (1..=EVENTS).step_by(100) {
        let comments = (first..first + 100)
            .map(|id| long_comment(1, id, 8000))
            .collect::<Vec<_>>();
        server.publish(&Value::from(comments)).await;
    }
    let mut next = 1;
    while next <= EVENTS {
        let frame = slow.frame().await.expect("the connection stays");
        assert_eq!(frame.first, TEXT);
        for line in String::from_utf8(frame.payload).unwrap().lines() {
            let line = serde_json::from_str::<Value>(line).unwrap();
            if line != json!({}) {
                assert_eq!(line["push"]["pub"]["offset"], next);
                assert_eq!(line["push"]["pub"]["data"]["data"]["comment"]["id"], next);
                next += 1;
            }
        }
    }
    assert_eq!(server.metric("fanfare_slow_disconnects_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_without_reading_is_not_answered_without_bound() {
    const ALLOWANCE: u64 = 64 << 20;
    let server = Server::mechamap().await;
    let comments = (1..=1000)
        .map(|id| long_comment(1, id, 3000))
        .collect::<Vec<_>>();
    server.publish(&Value::from(comments)).await;
    let memory = async || {
        server.http().get("/health", &[]).await.json()["metrics"]["memory"]
            .as_u64()
            .unwrap()
    };
    let before = memory().await;
    let mut greedy = stalled_subscriber(&server, 7, 1).await;
    let command = r#"{"id":9,"history":{"channel":"thread.1","limit":-1}}"#;
    let asking = tokio::spawn(async move {
        for _ in 0..500 {
            greedy.send_text(command).await;
        }
        greedy
    });
    let asked = tokio::time::timeout(Duration::from_secs(5), asking).await;
    let after = memory().await;
    assert!(after < before + ALLOWANCE, "{before} bytes became {after}");
    server.assert_healthy().await;
    drop(asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_does_not_hold_up_the_end_of_the_server_for_ever() {
    let launch = Launch::mechamap().config(&format!("{LARGE}\ndrain = {{ limit = 3 }}"));
    let mut server = launch.start().await;
    let mut stalled = stalled_subscriber(&server, 7, 1).await;
    for batch in 0..16 {
        let comments = (1..=20)
            .map(|at| long_comment(1, batch * 20 + at, 60_000))
            .collect::<Vec<_>>();
        server.publish(&Value::from(comments)).await;
    }
    server.terminate();
    assert_eq!(server.exit(Duration::from_secs(10)).await, Some(0));
    while let Some(frame) = stalled.frame().await {
        assert!([TEXT, CLOSE].contains(&frame.first), "{frame:?}");
    }
}
