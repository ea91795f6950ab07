//! What goes over the wire compressed: permessage-deflate, and gzip and zstd in answers of HTTP.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use fanfare_tests::mechamap::{comment_id, urgent_comment, urgent_comments};
use fanfare_tests::raw::{CLOSE, PING, PONG, TEXT, frame};
use fanfare_tests::{Client, Launch, Poller, RawSocket, Request, Response, Server, Token};
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress};
use serde_json::{Value, json};

/// FIN, RSV1 and the opcode of text.
const COMPRESSED: u8 = TEXT | 0x40;
const ACCEPTED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// What a sync flush ends with, and messages go without.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A comment of about this many bytes.
fn long_comment(id: u64, bytes: usize) -> Value {
    let mut envelope = urgent_comment(1, id);
    let words = [
        "torque",
        "gear",
        "SolidWorks",
        "thread",
        "näher",
        "\u{1F600}",
    ];
    let content = (0..).map(|at: u64| words[((at * at + id) % 6) as usize]);
    let mut text = String::new();
    for word in content {
        if text.len() >= bytes {
            break;
        }
        text.push_str(word);
        text.push(' ');
    }
    envelope["data"]["comment"]["content"] = json!(text);
    envelope
}

/// Opens a WebSocket that offers these extensions, and gives those of the answer.
async fn offering(server: &Server, offer: &str) -> (RawSocket, Option<String>) {
    let mut socket = RawSocket::connect(server.address()).await;
    let request = format!(
        "GET /ws?channel=thread.1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n"
    );
    socket.send(request.as_bytes()).await;
    let head = socket.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let mut extensions =
        headers.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-extensions"));
    let extensions = extensions.next().map(|(_, value)| value.to_owned());
    (socket, extensions)
}

async fn compressing(server: &Server, user: u64) -> RawSocket {
    let (mut socket, extensions) = offering(server, "permessage-deflate").await;
    assert_eq!(extensions.as_deref(), Some(ACCEPTED));
    socket.introduce(&Token::of(user).sign()).await;
    socket
}

fn inflated(payload: &[u8]) -> String {
    let ended = [payload, &TAIL].concat();
    let mut text = Vec::with_capacity(1 << 20);
    Decompress::new(false)
        .decompress_vec(&ended, &mut text, FlushDecompress::Sync)
        .unwrap();
    String::from_utf8(text).unwrap()
}

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(text.len() + 1000);
    Compress::new(flate2::Compression::new(6), false)
        .compress_vec(text, &mut payload, FlushCompress::Sync)
        .unwrap();
    payload.truncate(payload.len() - TAIL.len());
    payload
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_offers_it_gets_long_messages_compressed_and_reads_what_a_plain_one_gets() {
    let server = Server::mechamap().await;
    let mut compressing = [compressing(&server, 7).await, compressing(&server, 8).await];
    let mut plain = RawSocket::connect(server.address()).await;
    plain.upgrade("/ws?channel=thread.1").await;
    plain.introduce(&Token::of(9).sign()).await;

    for (id, bytes, is_compressed) in [(1, 100, false), (2, 2_000, true), (3, 60_000, true)] {
        server.publish(&long_comment(id, bytes)).await;
        let text = plain.text().await;
        let mut payloads = Vec::new();
        for socket in &mut compressing {
            let frame = socket.frame().await.unwrap();
            if is_compressed {
                assert_eq!(frame.first, COMPRESSED, "{id}");
                assert!(frame.payload.len() < text.len() / 3, "{id}");
                assert_eq!(inflated(&frame.payload), text);
            } else {
                assert_eq!(frame.first, TEXT, "{id}");
                assert_eq!(frame.payload, text.as_bytes());
            }
            payloads.push(frame.payload);
        }
        assert_eq!(payloads[0], payloads[1], "compressed once, for both");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_threshold_is_the_configured_one_to_the_byte() {
    let server = Server::mechamap().await;
    let mut plain = RawSocket::authenticated(&server, &Token::of(7).sign()).await;
    let mut socket = compressing(&server, 8).await;
    plain
        .send_text(r#"{"id":2,"subscribe":{"channel":"thread.1"}}"#)
        .await;
    plain.text().await;
    let mut lengths = Vec::new();
    for id in 1..=9 {
        let mut envelope = urgent_comment(1, id);
        // A flush around the limit; everything else of it has the same length each time.
        envelope["data"]["comment"]["content"] = json!("x".repeat(400 + id as usize * 24));
        server.publish(&envelope).await;
        let length = plain.text().await.len();
        let is_compressed = socket.frame().await.unwrap().first == COMPRESSED;
        assert_eq!(is_compressed, length >= 1024, "{length}");
        lengths.push(length);
    }
    assert!(lengths[0] < 1024 && lengths[8] >= 1024, "{lengths:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_that_cannot_be_kept_are_declined_and_nothing_is_compressed() {
    let server = Server::mechamap().await;
    for (offer, answer) in [
        ("permessage-deflate; server_max_window_bits=10", None),
        ("permessage-deflate; unknown", None),
        ("x-webkit-deflate-frame", None),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            Some(ACCEPTED),
        ),
        (
            "permessage-deflate; client_max_window_bits=9",
            Some(ACCEPTED),
        ),
    ] {
        let (mut socket, extensions) = offering(&server, offer).await;
        assert_eq!(extensions.as_deref(), answer, "{offer}");
        socket.introduce(&Token::of(7).sign()).await;
        server.publish(&long_comment(1, 5_000)).await;
        let first = socket.frame().await.unwrap().first;
        let expected = if answer.is_some() { COMPRESSED } else { TEXT };
        assert_eq!(first, expected, "{offer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_compressed_where_that_is_switched_off() {
    let server = Server::configured("compression = { enabled = false }").await;
    let (mut socket, extensions) = offering(&server, "permessage-deflate").await;
    assert_eq!(extensions, None);
    socket.introduce(&Token::of(7).sign()).await;
    server.publish(&long_comment(1, 5_000)).await;
    assert_eq!(socket.frame().await.unwrap().first, TEXT);
    let page = server
        .http()
        .get("/", &[("accept-encoding", "gzip, zstd")])
        .await;
    assert_eq!(page.header("content-encoding"), None);
    assert_eq!(page.header("vary"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_may_come_compressed_in_fragments_and_with_pings_between() {
    let server = Server::mechamap().await;
    let mut socket = compressing(&server, 7).await;
    let command = br#"{"id":2,"subscribe":{"channel":"thread.2"}}"#;
    let payload = deflated(command);
    let (start, end) = payload.split_at(5);
    socket.send(&frame(0x41, start)).await;
    socket.send(&frame(PING, b"?")).await;
    socket.send(&frame(0x80, end)).await;
    let pong = socket.frame().await.unwrap();
    assert_eq!((pong.first, &pong.payload[..]), (PONG, &b"?"[..]));
    let reply = socket.text().await;
    assert!(reply.starts_with(r#"{"id":2,"subscribe""#), "{reply}");
    // As it is, is allowed too.
    socket
        .send_text(r#"{"id":3,"unsubscribe":{"channel":"thread.2"}}"#)
        .await;
    assert!(socket.text().await.starts_with(r#"{"id":3"#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_extension_ends_the_connection_with_the_code_of_the_breach() {
    let server = Server::mechamap().await;
    let small = deflated(br#"{"id":2,"ping":{}}"#);
    let bomb = deflated(&vec![b' '; 30 << 20]);
    assert!(bomb.len() < 64 << 10, "it is small on the wire");
    for (what, breach, code) in [
        ("a compressed ping", frame(PING | 0x40, b""), 1002),
        ("a compressed close", frame(CLOSE | 0x40, b""), 1002),
        (
            "the bit on a continuation",
            [frame(0x41, &small[..3]), frame(0xc0, &small[3..])].concat(),
            1002,
        ),
        (
            "another reserved bit",
            frame(COMPRESSED | 0x20, &small),
            1002,
        ),
        ("no deflate", frame(COMPRESSED, b"\xff\xff\xff"), 1007),
        (
            "half a block",
            frame(COMPRESSED, &small[..small.len() / 2]),
            1007,
        ),
        ("no text", frame(COMPRESSED, &deflated(b"\xff")), 1007),
        ("a bomb", frame(COMPRESSED, &bomb), 1009),
        (
            "as long as that",
            frame(TEXT, &vec![b' '; (64 << 10) + 1]),
            1009,
        ),
    ] {
        let mut socket = compressing(&server, 7).await;
        socket.send(&breach).await;
        assert_eq!(socket.close_code().await, Some(code), "{what}");
    }
    let mut socket = RawSocket::authenticated(&server, &Token::of(7).sign()).await;
    socket.send(&frame(COMPRESSED, &small)).await;
    assert_eq!(socket.close_code().await, Some(1002), "not agreed on");
    server.assert_healthy().await;
}

/// Reads blocks of an event stream until `events` of them had data.
async fn text_of(response: &mut Response, coding: &str, events: usize) -> (String, usize) {
    let mut wire = Vec::new();
    loop {
        let text = decoded(coding, &wire);
        if text.matches("\ndata: ").count() >= events && text.ends_with("\n\n") {
            return (text, wire.len());
        }
        let piece = response.piece().await.unwrap().expect("it goes on");
        wire.extend_from_slice(&piece);
    }
}

/// What a client can make of as much of a stream as has come.
fn decoded(coding: &str, wire: &[u8]) -> String {
    let text = match coding {
        "gzip" => {
            let Some(blocks) = wire.strip_prefix(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]) else {
                assert!(wire.len() < 10, "a header of gzip");
                return String::new();
            };
            let mut text = Vec::with_capacity(1 << 20);
            Decompress::new(false)
                .decompress_vec(blocks, &mut text, FlushDecompress::Sync)
                .unwrap();
            text
        }
        "zstd" => {
            let mut text = Vec::new();
            let mut decoder = zstd::stream::write::Decoder::new(&mut text).unwrap();
            decoder.write_all(wire).unwrap();
            decoder.flush().unwrap();
            drop(decoder);
            text
        }
        _ => wire.to_vec(),
    };
    // The last character may have come in part.
    String::from_utf8_lossy(&text).into_owned()
}

/// Without the lines that are one client's alone.
fn shared(stream: &str) -> String {
    let lines = stream.lines().filter(|line| !line.starts_with("retry:"));
    lines.map(|line| format!("{line}\n")).collect()
}

async fn stream(server: &Server, query: &str, coding: &str) -> Response {
    let request = Request::get(server.address(), &format!("/sse?{query}")).token(&Token::of(7));
    let response = match coding {
        "" => request,
        coding => request.header("Accept-Encoding", coding),
    };
    let response = response.send().await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    let vary = response.headers.get_all("vary").iter();
    let vary = vary
        .map(|value| value.to_str().unwrap())
        .collect::<Vec<_>>();
    assert!(
        vary.contains(&"Accept-Encoding") && vary.contains(&"Accept"),
        "{vary:?}"
    );
    let expected = Some(coding).filter(|coding| !coding.is_empty());
    assert_eq!(response.header("content-encoding"), expected);
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_comes_in_gzip_and_zstd_each_flush_at_once() {
    // The heartbeat is part of the stream too.
    let server =
        Server::configured("heartbeat = { comment = 1 }\nlimits = { connections_per_user = 100 }")
            .await;
    for query in ["channel=thread.1", "channel=thread.1&channel=thread.2"] {
        let mut plain = stream(&server, query, "").await;
        let mut gzip = stream(&server, query, "gzip").await;
        let mut zstd = stream(&server, query, "zstd").await;
        let (mut events, mut wires) = (0, [0; 3]);
        for (id, bytes) in [(1, 10), (2, 1_500), (3, 60_000), (4, 10)] {
            server.publish(&long_comment(id, bytes)).await;
            events += 1;
            // Nothing else comes that could push it out.
            let (text, wire) = text_of(&mut plain, "", 1).await;
            wires[0] += wire;
            assert!(text.contains(&format!("\"id\":{id}")), "{id}");
        }
        for (response, coding, at) in [(&mut gzip, "gzip", 1), (&mut zstd, "zstd", 2)] {
            let (text, wire) = text_of(response, coding, events).await;
            wires[at] = wire;
            let ids = text.lines().filter_map(|line| line.strip_prefix("data: "));
            let ids = ids.map(|data| comment_id(&serde_json::from_str(data).unwrap()));
            assert_eq!(ids.collect::<Vec<_>>(), [1, 2, 3, 4], "{coding}");
        }
        assert!(
            wires[1] < wires[0] / 3 && wires[2] < wires[0] / 3,
            "{wires:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_coding_of_an_event_stream_says_the_same() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=40)).await;
    server.publish(&long_comment(41, 30_000)).await;
    let poller = &mut Poller::of(server.address(), &Token::of(7), &["thread.1"]);
    poller.poll(0).await;
    let history = server.ask("/channels/thread.1/history").await.json();
    let epoch = history["positions"]["thread.1"]["epoch"].as_str().unwrap();
    let query = format!("channel=thread.1&since={epoch}:0");
    let mut texts = Vec::new();
    for coding in ["", "gzip", "zstd"] {
        let mut response = stream(&server, &query, coding).await;
        let (text, _) = text_of(&mut response, coding, 41).await;
        texts.push(shared(&text));
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[0], texts[2]);
    assert!(texts[0].len() > 40_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_in_order_says_so_in_its_coding() {
    for coding in ["gzip", "zstd"] {
        let server = Server::mechamap().await;
        let mut response = stream(&server, "channel=thread.1", coding).await;
        text_of(&mut response, coding, 0).await;
        // Before anything else came.
        server.publish(&long_comment(1, 3_000)).await;
        server.terminate();
        let wire = response.rest().await.expect("a clean end");
        let text = match coding {
            // The header had been read.
            "gzip" => decoded(
                coding,
                &[&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff], &wire[..]].concat(),
            ),
            _ => decoded(coding, &wire),
        };
        let last = text.trim_end().rsplit('\n').next().unwrap();
        assert!(last.starts_with("retry: "), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_answers_are_compressed_and_short_ones_are_not() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=30)).await;
    let history = server.ask("/channels/thread.1/history").await.json();
    let since = format!(
        "{}:0",
        history["positions"]["thread.1"]["epoch"].as_str().unwrap()
    );
    let poll = format!("/poll?channel=thread.1&wait=0&since={since}");
    let authorization = format!("Bearer {}", Token::of(7).sign());
    let key = format!("Bearer {}", fanfare_tests::server::API_KEY);
    for (path, authorization) in [
        (&poll[..], &authorization),
        ("/channels/thread.1/history", &key),
        ("/asyncapi.json", &key),
        ("/", &key),
    ] {
        let get = async |accept| {
            let headers = [
                ("authorization", &**authorization),
                ("accept-encoding", accept),
            ];
            server.http().get(path, &headers).await
        };
        let plain = get("identity").await;
        assert_eq!(plain.status, 200, "{path}");
        assert_eq!(plain.header("content-encoding"), None);
        for (accept, coding) in [
            ("gzip", "gzip"),
            ("zstd", "zstd"),
            ("deflate, gzip;q=0.5", "gzip"),
            ("zstd;q=0.1, gzip;q=0", "zstd"),
        ] {
            let answer = get(accept).await;
            assert_eq!(answer.header("content-encoding"), Some(coding), "{path}");
            assert!(answer.body.len() < plain.body.len() / 2, "{path}");
            let text = match coding {
                "gzip" => run("gunzip", &["-c"], &answer.body),
                _ => run("zstd", &["-dc"], &answer.body),
            };
            assert!(text == plain.body, "{path} {accept}");
            let vary = answer.headers.get_all("vary").iter();
            assert!(
                vary.into_iter().any(|value| value == "Accept-Encoding"),
                "{path}"
            );
        }
    }
    let short = |accept| {
        let headers = [
            ("authorization", &*authorization),
            ("accept-encoding", accept),
        ];
        async move {
            server
                .http()
                .get("/poll?channel=thread.9&wait=0", &headers)
                .await
        }
    };
    assert_eq!(
        Box::pin(short("gzip")).await.header("content-encoding"),
        None
    );
}

/// What a program makes of its input.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success(), "{program}: {}", output.status);
    output.stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_reads_streams_to_their_end_and_polls() {
    let server = Server::mechamap().await;
    server.publish(&urgent_comments(1, 1..=20)).await;
    let history = server.ask("/channels/thread.1/history").await.json();
    let since = format!(
        "{}:0",
        history["positions"]["thread.1"]["epoch"].as_str().unwrap()
    );
    let curl = |path: &str, coding: &'static str| {
        let url = format!(
            "http://{}/{path}channel=thread.1&since={since}",
            server.address()
        );
        let token = format!("Authorization: Bearer {}", Token::of(7).sign());
        tokio::task::spawn_blocking(move || {
            let coding = format!("Accept-Encoding: {coding}");
            Command::new("curl")
                .args([
                    "-sSN",
                    "--compressed",
                    "-m",
                    "30",
                    "-H",
                    &token,
                    "-H",
                    &coding,
                    &url,
                ])
                .output()
                .unwrap()
        })
    };
    for coding in ["gzip", "zstd"] {
        let polled = curl("poll?wait=0&", coding).await.unwrap();
        let polled = serde_json::from_slice::<Value>(&polled.stdout).unwrap();
        assert_eq!(polled["events"].as_array().unwrap().len(), 20, "{coding}");
    }
    let streams = ["gzip", "zstd"].map(|coding| curl("sse?", coding));
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.publish(&long_comment(21, 9_000)).await;
    server.terminate();
    for stream in streams {
        let output = stream.await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {error}", output.status);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.matches("\ndata: ").count(), 21, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_and_compressing_clients_of_the_sdk_dialect_read_the_same() {
    let server = Launch::mechamap()
        .config("limits = { connections_per_user = 100 }")
        .start()
        .await;
    let client = Client::subscribed(&server, &Token::of(7), "thread.1").await;
    let mut socket = compressing(&server, 8).await;
    for id in 1..=50 {
        server
            .publish(&long_comment(id, (id * 97 % 3_000) as usize))
            .await;
    }
    let plain = client.pushes(50, fanfare_tests::SOON).await;
    let mut read = Vec::new();
    while read.len() < 50 {
        let frame = socket.frame().await.unwrap();
        let text = match frame.first {
            COMPRESSED => inflated(&frame.payload),
            TEXT => String::from_utf8(frame.payload).unwrap(),
            other => panic!("{other:#x}"),
        };
        for line in text.lines() {
            let push = serde_json::from_str::<Value>(line).unwrap();
            read.push(push["push"]["pub"]["data"].clone());
        }
    }
    let plain = plain.iter().map(|push| push.json()).collect::<Vec<_>>();
    assert_eq!(plain, read);
}
