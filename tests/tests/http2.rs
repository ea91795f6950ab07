//! HTTP/2 in clear text beside HTTP/1.1, and clients that stop in the middle of saying which.

use std::time::Duration;

use fanfare_tests::client::offsets;
use fanfare_tests::mechamap::{typing, urgent_comment};
use fanfare_tests::server::API_KEY;
use fanfare_tests::{Answer, Client, Http2, IN_TIME, SOON, Server, Token, until};
use fastwebsockets::{Frame, Payload, Role, WebSocket};
use http::Method;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// The preface of RFC 9113 section 3.4, with empty settings behind it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A frame of HEADERS on stream 1 that says neither that it ends its headers nor its stream: GET.
const HALF_HEAD: &[u8] = b"\0\0\x01\x01\0\0\0\0\x01\x82";

async fn publish(http: &Http2, envelope: &Value) -> Answer {
    let bearer = format!("Bearer {API_KEY}");
    let headers = [("authorization", &*bearer)];
    http.send(Method::POST, "/publish", &headers, envelope.to_string())
        .await
}

async fn connected(http: &Http2, token: &Token) -> Client {
    let (client, _) = http.websocket("/ws", &[]).await.expect("a grant");
    client.introduce(&token.sign()).await.expect("a good token");
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_as_over_http_1() {
    let server = Server::mechamap().await;
    let http = Http2::connect(server.address()).await;
    let health = http.get("/health", &[]).await;
    assert_eq!(health.json()["status"], "healthy");
    let published = publish(&http, &urgent_comment(1, 1)).await;
    assert_eq!(published.status, 200, "{published:?}");
    assert_eq!(published.json()["accepted"], 1);
    let refused = http.send(Method::POST, "/publish", &[], "{}").await;
    refused.assert_refusal(401, "AUTH_FAILED");
    http.get("/nothing", &[])
        .await
        .assert_refusal(404, "NOT_FOUND");
    http.get("/ws", &[])
        .await
        .assert_refusal(400, "INVALID_REQUEST");
    server.assert_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_over_the_limit_is_refused() {
    let server = Server::mechamap().await;
    let http = Http2::connect(server.address()).await;
    let long = "x".repeat(17 << 10);
    assert_eq!(http.get("/health", &[("x-long", &long)]).await.status, 431);
    assert_eq!(http.get("/health", &[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_are_streams_of_one_connection() {
    let server = Server::mechamap().await;
    let http = Http2::connect(server.address()).await;
    let (first, second) = (
        connected(&http, &Token::of(7)).await,
        connected(&http, &Token::of(8)).await,
    );
    first.subscribe("thread.1").await.unwrap();
    second.subscribe("thread.1").await.unwrap();
    for id in 1..=50 {
        assert_eq!(publish(&http, &urgent_comment(1, id)).await.status, 200);
    }
    let expected = (1..=50).collect::<Vec<_>>();
    assert_eq!(offsets(&first.pushes(50, IN_TIME).await), expected);
    assert_eq!(offsets(&second.pushes(50, IN_TIME).await), expected);
    // What one client sends, the other gets.
    first.publish("thread.1", &typing(7)).await.unwrap();
    assert_eq!(second.pushes(51, IN_TIME).await.len(), 51);
    // One ends, the other does not notice.
    first.close().await;
    until("one connection", SOON, async || {
        let health = http.get("/health", &[]).await.json();
        (health["metrics"]["connections"] == 1).then_some(())
    })
    .await;
    second.settle().await;
    assert!(
        server
            .metric("fanfare_connections_total{transport=\"websocket\"}")
            .await
            >= 2.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_ends_a_websocket_with_its_code_and_the_connection_stays() {
    let server = Server::mechamap().await;
    let http = Http2::connect(server.address()).await;
    let client = connected(&http, &Token::of(7)).await;
    client.send_text("no command");
    assert_eq!(client.end(SOON).await.code, Some(3501));
    connected(&http, &Token::of(7)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_is_checked_as_over_http_1() {
    let server = Server::configured("limits = { connections_per_user = 1 }").await;
    let http = Http2::connect(server.address()).await;
    let token = Token::of(7).sign();
    let bearer = format!("Bearer {token}");
    let refused = async |path: &str, headers: &[(&str, &str)]| {
        let granted = http.websocket(path, headers).await;
        granted.map(|_| ()).expect_err("it is refused")
    };
    refused("/ws", &[("origin", "https://b.example")])
        .await
        .assert_refusal(403, "FORBIDDEN");
    refused("/ws?token=nonsense", &[])
        .await
        .assert_refusal(401, "AUTH_FAILED");
    refused("/ws?channel=a..b", &[])
        .await
        .assert_refusal(400, "INVALID_REQUEST");
    refused("/ws?channel=user.8", &[("authorization", &bearer)])
        .await
        .assert_refusal(403, "FORBIDDEN");
    refused("/elsewhere", &[])
        .await
        .assert_refusal(404, "NOT_FOUND");
    for (protocol, headers) in [
        ("websocket", &[][..]),
        ("websocket", &[("sec-websocket-version", "8")]),
        ("webtransport", &[("sec-websocket-version", "13")]),
    ] {
        let granted = http.extended_connect(protocol, "/ws", headers).await;
        granted
            .map(|_| ())
            .expect_err("it is refused")
            .assert_refusal(400, "INVALID_REQUEST");
    }
    let own = format!("http://{}", server.address());
    let headers = [
        ("authorization", &*bearer),
        ("origin", &own),
        ("sec-websocket-protocol", "x, centrifuge-json"),
    ];
    let (client, granted) = http
        .websocket("/ws?channel=user.7", &headers)
        .await
        .expect("a grant");
    assert_eq!(granted["sec-websocket-protocol"], "centrifuge-json");
    let connected = client.connect_with(json!({})).await.unwrap();
    assert!(connected.subs.contains_key("user.7"), "{connected:?}");
    refused("/ws", &[("authorization", &bearer)])
        .await
        .assert_refusal(429, "CONNECTION_LIMIT");
}

/// The stream is reset, also the part of it that hyper could not write, and the others go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_that_does_not_read_ends_alone() {
    let server = Server::configured(
        "
        limits = { envelope = 8192 }
        buffers = { outbox = 16384, flush = 8192, pending = 65536, message = 8192 }
        ",
    )
    .await;
    let mut http = Http2::connect(server.address()).await;
    let reading = connected(&http, &Token::of(8)).await;
    reading.subscribe("thread.2").await.unwrap();
    let path = format!("/ws?token={}&channel=thread.1", Token::of(7).sign());
    let version = [("sec-websocket-version", "13")];
    let granted = http.extended_connect("websocket", &path, &version).await;
    let (stream, _) = granted.expect("a grant");
    let mut stalled = WebSocket::after_handshake(TokioIo::new(stream), Role::Client);
    let connect = Payload::Borrowed(br#"{"id":1,"connect":{}}"#);
    stalled.write_frame(Frame::text(connect)).await.unwrap();
    stalled.flush().await.unwrap();
    for id in 1.. {
        assert!(id < 4000, "28 MB did not fill the stream's window");
        if server.metric("fanfare_slow_disconnects_total").await > 0.0 {
            break;
        }
        let mut envelope = urgent_comment(1, id);
        envelope["data"]["comment"]["content"] = "x".repeat(7000).into();
        assert_eq!(publish(&http, &envelope).await.status, 200);
    }
    until("the slow client is gone", IN_TIME, async || {
        let health = http.get("/health", &[]).await.json();
        (health["metrics"]["connections"] == 1).then_some(())
    })
    .await;
    assert_eq!(publish(&http, &urgent_comment(2, 1)).await.status, 200);
    reading.pushes(1, IN_TIME).await;
    // Nothing of it is left, or the connection would not end in time.
    server.terminate();
    http.end(SOON).await.expect("an end in order");
    drop(stalled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_down_ends_websockets_and_says_goaway() {
    let mut server = Server::mechamap().await;
    let mut http = Http2::connect(server.address()).await;
    let client = connected(&http, &Token::of(7)).await;
    server.terminate();
    assert_eq!(client.end(SOON).await.code, Some(3001));
    http.end(SOON).await.expect("an end in order");
    assert_eq!(server.exit(SOON).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_before_its_first_request_is_cut() {
    let server = Server::configured("limits = { handshake = 1 }").await;
    let beginnings: [&[u8]; 9] = [
        b"",
        b"P",
        b"PRI",
        b"PRI * HTTP/2.0\r\n",
        &PREFACE[..24],
        PREFACE,
        &[PREFACE, HALF_HEAD].concat(),
        b"G",
        b"GET /health HTTP/1.1\r\nhost: a.example\r\n",
    ];
    let mut cuts = Vec::new();
    for beginning in beginnings {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let what = String::from_utf8_lossy(beginning).into_owned();
        cuts.push(tokio::spawn(async move {
            let mut answer = Vec::new();
            // Reset or closed, it is all the same.
            let end = timeout(SOON, stream.read_to_end(&mut answer)).await;
            assert!(end.is_ok(), "{what:?} was not cut");
            let took = begun.elapsed();
            let limits = Duration::from_millis(900)..Duration::from_secs(4);
            assert!(limits.contains(&took), "{what:?} was cut after {took:?}");
        }));
    }
    for cut in cuts {
        cut.await.unwrap();
    }
    // Between two requests of HTTP/1.1 there is as much time as for the first.
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = b"GET /health HTTP/1.1\r\nhost: a.example\r\n\r\n";
    stream.write_all(request).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    stream.write_all(request).await.unwrap();
    let begun = Instant::now();
    let mut answers = String::new();
    let end = timeout(SOON, stream.read_to_string(&mut answers)).await;
    assert!(end.is_ok(), "the connection is still there");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    assert!(begun.elapsed() > Duration::from_millis(900));
    // One that trickles does not win time.
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    for byte in "GET /health HTTP/1.1\r\nx-slow: "
        .bytes()
        .chain(std::iter::repeat(b'x'))
    {
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        assert!(
            begun.elapsed() < SOON,
            "a head of any length may take any time"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_bytes_may_come_one_by_one() {
    let server = Server::mechamap().await;
    for request in [
        "GET /health HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n",
        "POST /publish HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        "PRIZE / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in request.as_bytes() {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    }
}
