//! How a server goes down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fanfare_tests::client::offsets;
use fanfare_tests::mechamap::{comment, comment_id, idle_comment, urgent_comment};
use fanfare_tests::server::API_KEY;
use fanfare_tests::{Client, RawSocket, SOON, Server, Token, until};
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::Instant;

const SHUTDOWN: u16 = 3001;
/// Goes down slowly enough to be looked at while it does: a second for each connection.
const SLOW: &str = "drain = { batch = 1, pause = 1 }";

async fn assert_exit(mut server: Server) {
    assert_eq!(server.exit(SOON).await, Some(0), "{}", server.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_wait_are_delivered_before_the_close() {
    let server = Server::mechamap().await;
    let clients = [
        Client::subscribed(&server, &Token::of(1), "thread.1").await,
        Client::subscribed(&server, &Token::of(2), "thread.1").await,
    ];
    for envelope in [idle_comment(1, 1), comment(1, 2), idle_comment(1, 3)] {
        server.publish(&envelope).await;
    }
    server.terminate();
    for client in &clients {
        assert_eq!(client.close_code(SOON).await, SHUTDOWN);
        let ids = client
            .pushed()
            .iter()
            .map(|push| comment_id(&push.json()))
            .collect::<Vec<_>>();
        assert_eq!(ids, [1, 2, 3]);
    }
    assert_exit(server).await;
}

/// Publishes `batch` comments at a time from many sides, ends the server meanwhile, and checks that
/// no request goes without an answer and that every subscriber has what was accepted before it was
/// closed.
async fn assert_nothing_accepted_is_lost(server: Server, batch: u64, before_the_end: f64) {
    const PUBLISHERS: u64 = 8;
    let clients = [
        Client::subscribed(&server, &Token::of(1), "thread.1").await,
        Client::subscribed(&server, &Token::of(2), "thread.1").await,
    ];
    let ending = Arc::<AtomicBool>::default();
    let publishing = (0..PUBLISHERS).map(|publisher| {
        let http = server.http().clone();
        let ending = ending.clone();
        tokio::spawn(async move {
            let authorization = format!("Bearer {API_KEY}");
            let mut accepted = Vec::new();
            for round in 0.. {
                let first = (round * PUBLISHERS + publisher) * batch + 1;
                let ids = first..first + batch;
                let comments = ids.clone().map(|id| {
                    if round % 2 == 0 {
                        comment(1, id)
                    } else {
                        idle_comment(1, id)
                    }
                });
                let body = Value::from(comments.collect::<Vec<_>>()).to_string();
                if ending.load(Ordering::Acquire) {
                    break;
                }
                let answer = http
                    .post("/publish", &[("authorization", &authorization)], body)
                    .await;
                if answer.status != 200 {
                    answer.assert_refusal(503, "UNAVAILABLE");
                    answer.assert_retry_after();
                    break;
                }
                accepted.extend(ids);
            }
            accepted
        })
    });
    let publishing = publishing.collect::<Vec<_>>();
    until("some load", SOON, async || {
        (server.metric("fanfare_events_published_total").await >= before_the_end).then_some(())
    })
    .await;
    ending.store(true, Ordering::Release);
    server.terminate();
    let mut accepted = Vec::new();
    for publisher in publishing {
        accepted.extend(
            publisher
                .await
                .expect("every request is answered before the server ends"),
        );
    }
    accepted.sort_unstable();
    for client in &clients {
        assert_eq!(client.close_code(SOON).await, SHUTDOWN);
        let pushes = client.pushed();
        let mut ids = pushes
            .iter()
            .map(|push| comment_id(&push.json()))
            .collect::<Vec<_>>();
        ids.sort_unstable();
        assert_eq!(
            ids, accepted,
            "everything that was accepted, and nothing else"
        );
        assert_eq!(
            offsets(&pushes),
            (1..=accepted.len() as u64).collect::<Vec<_>>()
        );
    }
    assert_exit(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_accepted_event_is_delivered_before_the_close() {
    assert_nothing_accepted_is_lost(Server::mechamap().await, 1, 200.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_wait_for_room_are_delivered_whole_before_the_close() {
    let server = Server::configured(
        "
        limits = { envelope = 8192 }
        buffers = { flush = 8192, pending = 8192, outbox = 268435456 }
        ",
    )
    .await;
    assert_nothing_accepted_is_lost(server, 1000, 2000.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_drains_it_is_not_ready_and_newcomers_and_publishers_are_told_to_come_back() {
    let server = Server::configured(SLOW).await;
    let clients = [
        Client::subscribed(&server, &Token::of(1), "thread.1").await,
        Client::subscribed(&server, &Token::of(2), "thread.1").await,
        Client::subscribed(&server, &Token::of(3), "thread.1").await,
    ];
    assert_eq!(server.http().get("/ready", &[]).await.status, 200);
    server.terminate();
    until("readiness is off", SOON, async || {
        (server.http().get("/ready", &[]).await.status == 503).then_some(())
    })
    .await;
    let bearer = format!("Bearer {}", Token::of(9).sign());
    for headers in [&[][..], &[("authorization", &*bearer)]] {
        let answer = server.http().handshake("/ws", headers).await;
        answer.assert_refusal(503, "UNAVAILABLE");
        answer.assert_retry_after();
    }
    let answer = server.post(urgent_comment(1, 1).to_string()).await;
    answer.assert_refusal(503, "UNAVAILABLE");
    answer.assert_retry_after();
    let health = server.http().get("/health", &[]).await.json();
    assert_ne!(health["status"], "healthy", "{health}");
    for client in &clients {
        assert_eq!(client.close_code(SOON).await, SHUTDOWN);
    }
    assert_exit(server).await;
}

/// Sends a request that takes a while to handle, ends the server, and checks that the request is
/// answered nevertheless.
async fn assert_answered_at_the_end() {
    const LARGE: usize = 60_000;
    let server = Server::mechamap().await;
    let mut publisher = RawSocket::connect(server.address()).await;
    let mut envelope = urgent_comment(1, 1);
    envelope["data"]["comment"]["content"] = "x".repeat(LARGE).into();
    let body = Value::from(vec![envelope; 250]).to_string();
    let head = format!(
        "POST /publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    publisher.send(format!("{head}{body}").as_bytes()).await;
    server.terminate();
    let answer = publisher.head().await.expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 503 ") || answer.starts_with("HTTP/1.1 200 "),
        "{answer}"
    );
    publisher.shutdown().await;
    assert_exit(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_sent_before_the_end_began_is_answered() {
    // Where the server does not wait for it, luck decides.
    for _ in 0..5 {
        assert_answered_at_the_end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_closed_in_batches_with_a_pause_between() {
    let server = Server::configured("drain = { batch = 2, pause = 0.5 }").await;
    let mut clients = Vec::new();
    for user in 1..=6 {
        clients.push(Client::subscribed(&server, &Token::of(user), "thread.1").await);
    }
    let begun = Instant::now();
    server.terminate();
    let mut ends = Vec::new();
    for client in &clients {
        let end = client.end(SOON).await;
        assert_eq!(end.code, Some(SHUTDOWN));
        ends.push(end.at - begun);
    }
    ends.sort();
    assert!(
        ends[5] - ends[0] >= Duration::from_millis(900),
        "three batches take two pauses: {ends:?}"
    );
    assert!(ends[3] - ends[0] >= Duration::from_millis(400), "{ends:?}");
    assert_exit(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_have_not_said_who_they_are_are_closed_too() {
    let server = Server::mechamap().await;
    let client = Client::to(server.address()).open().await;
    let _silent = RawSocket::connect(server.address()).await;
    server.terminate();
    assert_eq!(client.close_code(SOON).await, SHUTDOWN);
    assert_exit(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_clients_ends_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::mechamap().await;
        let begun = Instant::now();
        server.signal(signal);
        assert_exit(server).await;
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{signal:?}: {:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_drains_as_well() {
    let server = Server::mechamap().await;
    let client = Client::subscribed(&server, &Token::of(1), "thread.1").await;
    server.publish(&idle_comment(1, 1)).await;
    server.signal(Signal::INT);
    assert_eq!(client.close_code(SOON).await, SHUTDOWN);
    assert_eq!(client.pushed().len(), 1);
    assert_exit(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_many_channels_are_delivered_before_the_close() {
    const CHANNELS: u64 = 100;
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(1)).await;
    for thread in 1..=CHANNELS {
        client.subscribe(&format!("thread.{thread}")).await.unwrap();
    }
    let comments = (1..=CHANNELS)
        .flat_map(|thread| [comment(thread, 1), idle_comment(thread, 2)])
        .collect::<Vec<_>>();
    server.publish(&Value::from(comments)).await;
    server.terminate();
    assert_eq!(client.close_code(SOON).await, SHUTDOWN);
    assert_eq!(client.pushed().len() as u64, 2 * CHANNELS);
    assert_exit(server).await;
}
