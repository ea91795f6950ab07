//! TLS: what is spoken over it, and files that are none of it.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use fanfare_tests::mechamap::urgent_comment;
use fanfare_tests::server::API_KEY;
use fanfare_tests::{Certificate, Client, Http2, IN_TIME, Launch, SOON, Server, Token};
use http::Method;
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

const HTTP2: &[&str] = &["h2", "http/1.1"];
const HTTP1: &[&str] = &["http/1.1"];

async fn http2(certificate: &Certificate, server: &Server) -> Http2 {
    let stream = certificate.connect(server.address(), HTTP2).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    Http2::on(stream, server.address()).await
}

async fn publish(http: &Http2, id: u64) {
    let bearer = format!("Bearer {API_KEY}");
    let (headers, body) = (
        [("authorization", &*bearer)],
        urgent_comment(1, id).to_string(),
    );
    let answer = http.send(Method::POST, "/publish", &headers, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_line_and_the_page_say_https() {
    let certificate = Certificate::new();
    let server = certificate.launch().start().await;
    let line = format!("listening on https://{}", server.address());
    assert!(server.stdout().lines().any(|printed| printed == line));
    let bare = Launch::bare()
        .argument("--listen")
        .argument("127.0.0.1:0")
        .environment(
            "FANFARE_TLS_CERT",
            &certificate.certificate().to_string_lossy(),
        )
        .environment("FANFARE_TLS_KEY", &certificate.key().to_string_lossy())
        .start()
        .await;
    let link = format!("https://{}/#token=", bare.address());
    assert!(bare.stdout().contains(&link), "{}", bare.stdout());
    assert!(!bare.stdout().contains("http://"), "{}", bare.stdout());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_over_http_1_and_2_get_the_same_events() {
    let certificate = Certificate::new();
    let server = certificate.launch().start().await;
    let http = http2(&certificate, &server).await;
    let (stream, _) = http.websocket("/ws", &[]).await.expect("a grant");
    let mut clients = vec![stream];
    for protocols in [HTTP1, &[]] {
        let stream = certificate.connect(server.address(), protocols).await;
        let wss = Client::to(server.address()).try_open_on(stream).await;
        clients.push(wss.expect("a grant"));
    }
    for client in &clients {
        client.introduce(&Token::of(7).sign()).await.unwrap();
        client.subscribe("thread.1").await.unwrap();
    }
    for id in 1..=20 {
        publish(&http, id).await;
    }
    for client in clients {
        let pushes = client.pushes(20, IN_TIME).await;
        assert_eq!(
            fanfare_tests::client::offsets(&pushes),
            (1..=20).collect::<Vec<_>>()
        );
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_1_2_and_1_3_are_spoken() {
    let certificate = Certificate::new();
    let server = certificate.launch().start().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let stream = certificate
            .connect_with(server.address(), HTTP2, &[version])
            .await;
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        Http2::on(stream, server.address()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_down_ends_its_connections() {
    let certificate = Certificate::new();
    let mut server = certificate.launch().start().await;
    let mut http = http2(&certificate, &server).await;
    let stream = certificate.connect(server.address(), HTTP1).await;
    let wss = Client::to(server.address())
        .try_open_on(stream)
        .await
        .unwrap();
    wss.introduce(&Token::of(7).sign()).await.unwrap();
    // Somebody who has not even begun.
    let silent = TcpStream::connect(server.address()).await.unwrap();
    server.terminate();
    assert_eq!(wss.end(SOON).await.code, Some(3001));
    http.end(SOON).await.expect("an end in order");
    assert_eq!(server.exit(SOON).await, Some(0));
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_in_the_handshake_or_behind_it_is_cut() {
    let certificate = Certificate::new();
    let launch = certificate.launch().config("limits = { handshake = 1 }");
    let server = launch.start().await;
    let limits = Duration::from_millis(900)..Duration::from_secs(4);
    // The second is the beginning of a ClientHello of 512 bytes.
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let mut answer = Vec::new();
        let end = timeout(SOON, stream.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "{beginning:?} was not cut");
        assert!(limits.contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }
    for protocols in [HTTP1, HTTP2] {
        let begun = Instant::now();
        let mut stream = certificate.connect(server.address(), protocols).await;
        let mut answer = Vec::new();
        let end = timeout(SOON, stream.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "{protocols:?} was not cut");
        assert!(limits.contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_text_is_refused_at_once() {
    let certificate = Certificate::new();
    let server = certificate.launch().start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = b"GET /health HTTP/1.1\r\nhost: a.example\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let ended = timeout(Duration::from_secs(3), stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection is still there");
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_flags_are_refused_in_one_sentence_with_exit_code_2() {
    let (certificate, other) = (Certificate::new(), Certificate::new());
    let mut broken = NamedTempFile::new().unwrap();
    let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    broken.write_all(pem).unwrap();
    let empty = NamedTempFile::new().unwrap();
    let (good, key) = (certificate.certificate(), certificate.key());
    let missing = Path::new("/no/such/file.pem");
    for (certificate, key, mentions) in [
        (Some(good), None, "--tls-key"),
        (None, Some(key), "--tls-cert"),
        (Some(missing), Some(key), "/no/such/file.pem"),
        (Some(good), Some(missing), "/no/such/file.pem"),
        (Some(empty.path()), Some(key), "no certificate"),
        (Some(key), Some(key), "no certificate"),
        (Some(broken.path()), Some(key), "certificate"),
        (Some(good), Some(empty.path()), "private key"),
        (Some(good), Some(good), "private key"),
        (Some(good), Some(other.key()), "does not belong"),
    ] {
        let mut launch = Launch::mechamap();
        if let Some(file) = certificate {
            launch = launch.argument("--tls-cert").argument(file);
        }
        if let Some(file) = key {
            launch = launch.argument("--tls-key").argument(file);
        }
        let mut server = launch.refusal().await;
        let code = server.exit(SOON).await;
        let stderr = server.stderr();
        assert_eq!(code, Some(2), "{stderr}");
        assert!(
            stderr.contains(mentions),
            "{mentions:?} is not in {stderr:?}"
        );
        assert_eq!(stderr.lines().count(), 1, "one sentence, not {stderr:?}");
    }
}
