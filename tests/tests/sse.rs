//! EventSource over raw sockets.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use std::collections::HashSet;
use std::time::Duration;

use fanfare_tests::mechamap::{comment, comment_id, typing, urgent_comment, urgent_comments};
use fanfare_tests::token::{from_now, since_1970};
use fanfare_tests::{
    Block, Client, EventStream, Http2, IN_TIME, Launch, Request, SOON, Server, Token, until,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

const RETRY: std::ops::RangeInclusive<u64> = 1_000..=2_000;

fn request(server: &Server, query: &str) -> Request {
    Request::get(server.address(), &format!("/sse?{query}")).token(&Token::of(7))
}

/// A request with the id of the last event, as browsers send it when they come back.
fn resume(server: &Server, query: &str, id: &str) -> Request {
    request(server, query).header("Last-Event-ID", id)
}

async fn open(server: &Server, query: &str) -> EventStream {
    EventStream::open(request(server, query)).await
}

fn ids(messages: &[Block]) -> Vec<u64> {
    messages
        .iter()
        .map(|message| comment_id(&message.json()))
        .collect()
}

async fn connections(server: &Server) -> u64 {
    let health = server.http().get("/health", &[]).await.json();
    health["metrics"]["connections"].as_u64().unwrap()
}

async fn assert_let_go(server: &Server, within: Duration) {
    until("the connection is let go", within, async || {
        (connections(server).await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_begins_with_a_retry_and_an_id_and_shows_bare_envelopes_with_their_ids() {
    let server = Server::mechamap().await;
    let mut stream = open(&server, "channel=thread.1").await;
    let response = &stream.response;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("x-accel-buffering"), Some("no"));
    assert_eq!(response.header("content-length"), None);
    assert!(RETRY.contains(&stream.retry.unwrap()), "{stream:?}");
    let first = stream.last_id.clone();

    server.publish(&urgent_comments(1, 1..=2)).await;
    let witness = Client::subscribed(&server, &Token::of(8), "thread.1").await;
    server.publish(&urgent_comment(1, 3)).await;
    let messages = stream.messages(3).await;
    assert_eq!(ids(&messages), [1, 2, 3]);
    let mut seen = HashSet::from([first]);
    for message in &messages {
        let id = message.id.as_ref().expect("every event has an id");
        assert!(seen.insert(id.clone()), "an id of its own: {id}");
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    }
    let pushed = witness.pushes(1, SOON).await;
    let other = serde_json::from_str::<Value>(messages[2].data.as_deref().unwrap()).unwrap();
    assert_eq!(pushed[0].json(), other, "the envelope as it is elsewhere");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_not_told_to_come_back_at_the_same_moment() {
    let server = Server::mechamap().await;
    let mut hints = HashSet::new();
    for _ in 0..10 {
        hints.insert(open(&server, "channel=thread.1").await.retry);
    }
    assert!(hints.len() > 3, "{hints:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_id_resumes_behind_its_event() {
    let server = Server::mechamap().await;
    let query = "channel=thread.1&channel=thread.2";
    let mut stream = open(&server, query).await;
    let mut after = vec![stream.last_id.clone()];
    let mut expected = Vec::new();
    for id in 1..=6 {
        server.publish(&urgent_comment(1 + id % 2, id)).await;
        after.push(stream.message().await.id.unwrap());
        expected.push(id);
    }
    for (at, id) in after.iter().enumerate() {
        let way = [
            resume(&server, query, id),
            request(&server, &format!("{query}&cursor={id}")),
            // The header is newer than the URL, which an EventSource keeps.
            resume(&server, &format!("{query}&cursor={}", after[0]), id),
            resume(&server, &format!("{query}&since=0000000000000000:1"), id),
        ];
        for request in way {
            let mut stream = EventStream::open(request).await;
            assert_eq!(stream.last_id, *id, "the client stands where it stood");
            let mut missed = ids(&stream.messages(expected.len() - at).await);
            // Each channel's come in order, one channel behind the other.
            missed.sort_unstable();
            assert_eq!(missed, expected[at..]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_of_the_websocket_resume_a_stream() {
    let server = Server::mechamap().await;
    let client = Client::connect(&server, &Token::of(7)).await;
    let mut since = String::new();
    for thread in 1..=2 {
        let channel = format!("thread.{thread}");
        let position = client.subscribe(&channel).await.unwrap().position();
        let (epoch, offset) = (position.epoch, position.offset);
        since.push_str(&format!("&channel={channel}&since={epoch}:{offset}"));
    }
    server.publish(&urgent_comment(1, 1)).await;
    server.publish(&urgent_comment(2, 2)).await;
    client.pushes(2, SOON).await;
    let mut stream = open(&server, &since).await;
    let mut missed = ids(&stream.messages(2).await);
    missed.sort_unstable();
    assert_eq!(missed, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_history_does_not_cover_is_said_to_be_so_before_what_follows() {
    let server = Server::configured("history = { events = 3 }").await;
    let query = "channel=thread.1&channel=thread.2";
    let stream = open(&server, query).await;
    let start = stream.last_id.clone();
    drop(stream);
    server.publish(&urgent_comments(1, 1..=10)).await;
    server.publish(&urgent_comments(2, 11..=12)).await;
    let mut stream = EventStream::try_open(resume(&server, query, &start))
        .await
        .unwrap();
    let told = stream.event().await.unwrap().unwrap();
    assert_eq!(told.event.as_deref(), Some("unrecovered"));
    assert_eq!(told.json(), json!({ "channels": ["thread.1"] }));
    let newest = told.id.expect("with the newest cursor");
    assert_eq!(
        ids(&stream.messages(2).await),
        [11, 12],
        "what is covered comes"
    );
    server.publish(&urgent_comment(1, 13)).await;
    assert_eq!(ids(&stream.messages(1).await), [13], "then live");

    let mut again = EventStream::open(resume(&server, query, &newest)).await;
    let mut missed = ids(&again.messages(3).await);
    missed.sort_unstable();
    assert_eq!(missed, [11, 12, 13], "the newest cursor is a good one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_of_another_incarnation_are_not_recovered() {
    let other = Server::mechamap().await;
    let id = open(&other, "channel=thread.1").await.last_id;
    let server = Server::mechamap().await;
    server.publish(&urgent_comment(1, 1)).await;
    let mut stream = EventStream::try_open(resume(&server, "channel=thread.1", &id))
        .await
        .unwrap();
    let told = stream.event().await.unwrap().unwrap();
    assert_eq!(told.event.as_deref(), Some("unrecovered"));
    assert_ne!(told.id.unwrap(), id);
    server.publish(&urgent_comment(1, 2)).await;
    assert_eq!(ids(&stream.messages(1).await), [2]);
    assert_eq!(
        server
            .metric("fanfare_recovered_total{result=\"not_recovered\"")
            .await,
        1.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_the_cursor_does_not_know_begins_now() {
    let server = Server::mechamap().await;
    let id = open(&server, "channel=thread.1").await.last_id;
    server.publish(&urgent_comment(1, 1)).await;
    server.publish(&urgent_comment(2, 2)).await;
    let query = "channel=thread.1&channel=thread.2";
    let mut stream = EventStream::open(resume(&server, query, &id)).await;
    assert_eq!(ids(&stream.messages(1).await), [1]);
    server.publish(&urgent_comment(2, 3)).await;
    assert_eq!(ids(&stream.messages(1).await), [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ephemeral_events_leave_the_id_as_it_was() {
    let server = Server::mechamap().await;
    for query in ["channel=thread.1", "channel=thread.1&channel=thread.2"] {
        let mut stream = open(&server, query).await;
        server.publish(&urgent_comment(1, 1)).await;
        let id = stream.message().await.id.unwrap();
        let mut envelope = typing(123);
        envelope["channel"] = "thread.1".into();
        server.publish(&envelope).await;
        let event = stream.message().await;
        assert_eq!(event.json()["event"], "forum.typing.started");
        assert!(event.id.is_none_or(|own| own == id));
        assert_eq!(stream.last_id, id);
        server.publish(&urgent_comment(1, 2)).await;
        assert_ne!(stream.message().await.id.unwrap(), id);
        let mut again = EventStream::open(resume(&server, query, &id)).await;
        assert_eq!(ids(&again.messages(1).await), [2], "it is in no history");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_show_that_the_stream_lives() {
    let server = Server::configured("heartbeat = { comment = 1 }").await;
    let mut stream = open(&server, "channel=thread.1").await;
    let begun = Instant::now();
    for _ in 0..3 {
        let block = timeout(SOON, stream.block())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let comment = Block {
            comments: 1,
            ..Block::default()
        };
        assert_eq!(block, comment);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_down_delivers_what_waits_and_ends_streams_with_a_hint() {
    let mut server = Launch::mechamap()
        .config("drain = { batch = 1, pause = 0.3 }")
        .start()
        .await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(open(&server, "channel=thread.1").await);
    }
    server.publish(&comment(1, 1)).await;
    server.terminate();
    for stream in &mut streams {
        assert_eq!(ids(&stream.messages(1).await), [1]);
        stream.retry = None;
        let (blocks, clean) = stream.rest().await;
        assert!(clean, "{blocks:?}");
        assert!(RETRY.contains(&stream.retry.unwrap()), "{blocks:?}");
        assert!(
            blocks.iter().all(|block| block.data.is_none()),
            "{blocks:?}"
        );
    }
    assert_eq!(server.exit(SOON).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newcomers_are_refused_while_the_server_goes_down() {
    let server = Server::configured("drain = { batch = 1, pause = 1 }").await;
    let _streams = [
        open(&server, "channel=thread.1").await,
        open(&server, "channel=thread.1").await,
    ];
    server.terminate();
    until("the server goes down", SOON, async || {
        (server.http().get("/ready", &[]).await.status == 503).then_some(())
    })
    .await;
    let token = format!("Bearer {}", Token::of(8).sign());
    for path in ["/sse?channel=thread.1", "/poll?channel=thread.1"] {
        let answer = server.http().get(path, &[("authorization", &token)]).await;
        answer.assert_refusal(503, "UNAVAILABLE");
        answer.assert_retry_after();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_token_ends_the_stream_and_says_why() {
    let server = Server::configured("heartbeat = { expiry_grace = 1 }").await;
    let ends = from_now(2);
    let token = Token::of(7).ending(ends);
    let path = "/sse?channel=user.7";
    let request = Request::get(server.address(), path).token(&token);
    let mut stream = EventStream::open(request).await;
    let (blocks, clean) = timeout(Duration::from_secs(27), stream.rest())
        .await
        .unwrap();
    assert!(clean, "{blocks:?}");
    assert!(since_1970() >= Duration::from_secs(ends));
    let last = blocks.iter().find(|block| block.data.is_some()).unwrap();
    assert_eq!(last.event.as_deref(), Some("disconnect"));
    assert_eq!(last.json()["code"], 3005);
    assert!(last.json()["reason"].is_string());
    assert_let_go(&server, SOON).await;
    // Tokens are good to the end of their last second.
    sleep(Duration::from_secs(ends + 1).saturating_sub(since_1970())).await;
    let token = format!("Bearer {}", token.sign());
    let answer = server.http().get(path, &[("authorization", &token)]).await;
    answer.assert_refusal(401, "AUTH_FAILED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_come_by_header_or_query_and_channels_by_query_or_claim() {
    let server = Server::mechamap().await;
    let token = Token::of(7).channels(&["thread.1"]).sign();
    for query in [
        format!("token={token}"),
        format!("token={token}&channel=thread.2"),
    ] {
        let path = format!("/sse?{query}");
        let mut stream = EventStream::open(Request::get(server.address(), &path)).await;
        server.publish(&urgent_comment(1, 1)).await;
        assert_eq!(ids(&stream.messages(1).await), [1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_checked_before_anything_begins() {
    let server = Server::mechamap().await;
    let own = Token::of(7).sign();
    let good = "0123456701234567012345671";
    let many = "&channel=thread.1".repeat(129);
    let claims = Token::of(7).channels(&["user.8"]).sign();
    for path in ["/sse", "/poll"] {
        let refused = [
            (401, "AUTH_FAILED", "channel=thread.1".to_owned()),
            (
                401,
                "AUTH_FAILED",
                "channel=thread.1&token=nonsense".to_owned(),
            ),
            (400, "INVALID_REQUEST", format!("token={own}")),
            (400, "INVALID_REQUEST", format!("token={own}&channel=")),
            (400, "INVALID_REQUEST", format!("token={own}&channel=a..b")),
            (
                400,
                "INVALID_REQUEST",
                format!("token={own}&channel=thread.1&channel=a%20b"),
            ),
            (400, "INVALID_REQUEST", format!("token={own}{many}")),
            (403, "FORBIDDEN", format!("token={own}&channel=user.8")),
            (
                403,
                "FORBIDDEN",
                format!("token={own}&channel=thread.1&channel=user.8"),
            ),
            (403, "FORBIDDEN", format!("token={own}&channel=nonsense.1")),
            (403, "FORBIDDEN", format!("token={claims}")),
            (
                400,
                "INVALID_REQUEST",
                format!("token={own}&channel=thread.1&cursor=nonsense"),
            ),
            (
                400,
                "INVALID_REQUEST",
                format!("token={own}&channel=thread.1&cursor={good}."),
            ),
            (
                400,
                "INVALID_REQUEST",
                format!("token={own}&channel=thread.1&cursor=%ff%00"),
            ),
            (
                400,
                "INVALID_REQUEST",
                format!("token={own}&channel=thread.1&since=nonsense"),
            ),
            (
                400,
                "INVALID_REQUEST",
                format!("token={own}&channel=thread.1&since=:1"),
            ),
            (
                400,
                "INVALID_REQUEST",
                format!("token={own}&channel=thread.1&since=0123456789abcdef"),
            ),
            (
                400,
                "INVALID_REQUEST",
                format!("token={own}&channel=thread.1&since=0123456789abcdef:"),
            ),
            (
                400,
                "INVALID_REQUEST",
                format!("token={own}&channel=thread.1&since=0123456789abcdef:-1"),
            ),
            (
                400,
                "INVALID_REQUEST",
                format!("token={own}&channel=thread.1&since=0123456789abcdef:%2b1"),
            ),
            (
                400,
                "INVALID_REQUEST",
                format!(
                    "token={own}&channel=thread.1&since=0123456789abcdef:1&since=0123456789abcdef:1"
                ),
            ),
            (
                400,
                "INVALID_REQUEST",
                format!("token={own}&channel=thread.1&channel=thread.2&since=0123456789abcdef:1"),
            ),
        ];
        for (status, code, query) in refused {
            let answer = server.http().get(&format!("{path}?{query}"), &[]).await;
            assert_eq!(answer.status, status, "{path}?{query}: {answer:?}");
            answer.assert_refusal(status, code);
        }
        let bad_id = [("last-event-id", "nonsense")];
        let query = format!("{path}?token={own}&channel=thread.1");
        let answer = server.http().get(&query, &bad_id).await;
        answer.assert_refusal(400, "INVALID_REQUEST");
        let answer = server.http().post(&query, &[], "").await;
        answer.assert_refusal(400, "INVALID_REQUEST");
        let foreign = [("origin", "https://elsewhere.example")];
        let answer = server.http().get(&query, &foreign).await;
        answer.assert_refusal(403, "FORBIDDEN");
    }
    assert_eq!(connections(&server).await, 0);
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_last_event_id_is_none() {
    let server = Server::mechamap().await;
    let mut stream = EventStream::open(resume(&server, "channel=thread.1&cursor=", "")).await;
    server.publish(&urgent_comment(1, 1)).await;
    assert_eq!(ids(&stream.messages(1).await), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_shows_the_headers_and_opens_nothing() {
    let server = Server::mechamap().await;
    for (path, kind) in [("/sse", "text/event-stream"), ("/poll", "application/json")] {
        let path = format!("{path}?channel=thread.1");
        let request = Request::get(server.address(), &path).token(&Token::of(7));
        let mut response = request.method("HEAD").send().await.unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-type"), Some(kind));
        assert!(response.rest().await.unwrap().is_empty());
        assert_eq!(connections(&server).await, 0);
    }
    assert_eq!(
        server
            .metric("fanfare_connections_total{transport=\"sse\"}")
            .await,
        0.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_as_many_streams_as_connections_are_allowed() {
    let server = Server::mechamap().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(open(&server, "channel=thread.1").await);
    }
    let token = format!("Bearer {}", Token::of(7).sign());
    for path in ["/sse?channel=thread.1", "/poll?channel=thread.1"] {
        let answer = server.http().get(path, &[("authorization", &token)]).await;
        answer.assert_refusal(429, "CONNECTION_LIMIT");
        answer.assert_retry_after();
    }
    assert_eq!(
        server
            .metric("fanfare_connections_rejected_total{reason=\"connection_limit\"}")
            .await,
        2.0
    );
    streams.pop();
    until("the connection is let go", SOON, async || {
        (connections(&server).await == 4).then_some(())
    })
    .await;
    open(&server, "channel=thread.1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_counted_under_their_own_name() {
    let server = Server::mechamap().await;
    let mut stream = open(&server, "channel=thread.1").await;
    let id = stream.last_id.clone();
    server.publish(&urgent_comments(1, 1..=3)).await;
    stream.messages(3).await;
    assert_eq!(
        server
            .metric("fanfare_connections{transport=\"sse\"}")
            .await,
        1.0
    );
    assert_eq!(
        server
            .metric("fanfare_connections_total{transport=\"sse\"}")
            .await,
        1.0
    );
    until("what was delivered is counted", SOON, async || {
        let delivered = server
            .metric("fanfare_events_delivered_total{transport=\"sse\"")
            .await;
        (delivered == 3.0).then_some(())
    })
    .await;
    assert_eq!(server.metric("fanfare_subscriptions").await, 1.0);
    EventStream::open(resume(&server, "channel=thread.1", &id))
        .await
        .messages(3)
        .await;
    assert_eq!(
        server
            .metric("fanfare_recovered_total{result=\"recovered\"}")
            .await,
        1.0
    );
    assert_eq!(
        server
            .metric("fanfare_events_delivered_total{transport=\"sse\"")
            .await,
        6.0
    );
    drop(stream);
    assert_let_go(&server, SOON).await;
    assert_eq!(
        server
            .metric("fanfare_connections{transport=\"sse\"}")
            .await,
        0.0
    );
    assert_eq!(server.metric("fanfare_subscriptions").await, 0.0);
}

/// A comment of about `bytes`.
fn long_comment(id: u64, bytes: usize) -> Value {
    let mut envelope = urgent_comment(1, id);
    envelope["data"]["comment"]["content"] = "x".repeat(bytes).into();
    envelope
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stalls_costs_no_more_than_its_outbox_and_is_cut_and_counted() {
    const ALLOWANCE: u64 = 48 << 20;
    /// Far from what fills the outbox of one that reads.
    const BATCH: u64 = 4;
    let server = Server::configured("history = { events = 10, bytes = 100000 }").await;
    let memory = async || {
        let health = server.http().get("/health", &[]).await.json();
        health["metrics"]["memory"].as_u64().unwrap()
    };
    let before = memory().await;
    let mut stalled = EventStream::open(request(&server, "channel=thread.1").narrow(4096)).await;
    let mut reading = open(&server, "channel=thread.1").await;
    let mut published = 0;
    while server.metric("fanfare_slow_disconnects_total").await == 0.0 {
        assert!(
            published < 4000,
            "240 MB did not fill the outbox of one that does not read"
        );
        let comments = (1..=BATCH).map(|at| long_comment(published + at, 60_000));
        server
            .publish(&Value::from(comments.collect::<Vec<_>>()))
            .await;
        published += BATCH;
        let read = reading.messages(4).await;
        assert_eq!(
            comment_id(&read[3].json()),
            published,
            "others are not held up"
        );
    }
    until(
        "the connection is let go",
        Duration::from_secs(3),
        async || (connections(&server).await == 1).then_some(()),
    )
    .await;
    assert_eq!(server.metric("fanfare_slow_disconnects_total").await, 1.0);
    let after = memory().await;
    assert!(after < before + ALLOWANCE, "{before} bytes became {after}");
    let (_, clean) = stalled.rest().await;
    assert!(!clean, "the client must not take this for the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_does_not_hold_up_the_end_of_the_server() {
    let mut server = Server::configured("buffers = { outbox = 268435456 }").await;
    let _stalled = EventStream::open(request(&server, "channel=thread.1").narrow(4096)).await;
    for batch in 0..16 {
        let comments = (1..=20).map(|at| long_comment(batch * 20 + at, 60_000));
        server
            .publish(&Value::from(comments.collect::<Vec<_>>()))
            .await;
    }
    server.terminate();
    assert_eq!(server.exit(IN_TIME).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_is_let_go_without_another_event() {
    let server = Server::mechamap().await;
    let stream = open(&server, "channel=thread.1").await;
    assert_eq!(connections(&server).await, 1);
    sleep(Duration::from_millis(50)).await;
    drop(stream);
    assert_let_go(&server, Duration::from_secs(2)).await;
}

/// Reads on until `text` holds so many events.
async fn read_events(body: &mut Incoming, text: &mut String, count: usize) {
    while text.matches("\ndata: ").count() < count {
        let frame = timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_polls_share_a_connection_of_http2() {
    let server = Server::mechamap().await;
    let http = Http2::connect(server.address()).await;
    let token = format!("Bearer {}", Token::of(7).sign());
    let headers = [("authorization", token.as_str())];
    let mut streams = Vec::new();
    for thread in 1..=4 {
        let response = http
            .begin(&format!("/sse?channel=thread.{thread}"), &headers)
            .await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        streams.push((response.into_body(), String::new()));
    }
    let polling = http.get("/poll?channel=thread.4&wait=30", &headers);
    let publishing = async {
        until("all are there", SOON, async || {
            (connections(&server).await == 5).then_some(())
        })
        .await;
        for id in 1..=40 {
            server.publish(&urgent_comment(1 + id % 4, id)).await;
        }
    };
    let (polled, ()) = tokio::join!(polling, publishing);
    assert_eq!(polled.json()["events"][0]["channel"], "thread.4");
    for (thread, (body, text)) in (1..).zip(&mut streams) {
        read_events(body, text, 10).await;
        let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let ids = events.map(|data| comment_id(&serde_json::from_str(data).unwrap()));
        let expected = (1..=40).filter(|id| 1 + id % 4 == thread);
        assert_eq!(ids.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
    streams.truncate(1);
    until("three are let go", SOON, async || {
        (connections(&server).await == 1).then_some(())
    })
    .await;
    server.publish(&urgent_comment(1, 41)).await;
    let (body, text) = &mut streams[0];
    read_events(body, text, 11).await;
    server.terminate();
    while let Some(frame) = timeout(SOON, body.frame()).await.unwrap() {
        let data = frame.expect("a clean end").into_data().unwrap();
        text.push_str(std::str::from_utf8(&data).unwrap());
    }
    assert!(
        text.lines().rev().nth(1).unwrap().starts_with("retry: "),
        "{text}"
    );
}
