//! Which pages may connect, and read what they are answered.

use bytes::Bytes;
use fanfare_tests::server::API_KEY;
use fanfare_tests::{Answer, Http2, Launch, Server};
use http::{HeaderMap, Method};

const ALLOWED: &str = "https://App.example";
const FOREIGN: &str = "https://b.example";
/// Where a client connects, or talks on a connection that it has.
const CONNECTING: [&str; 8] = [
    "/ws",
    "/sse?channel=thread.1",
    "/poll?channel=thread.1",
    "/socket.io/?EIO=4&transport=polling",
    "/connection/http_stream",
    "/connection/sse",
    "/connection/websocket",
    "/emulation",
];
const SERVER_API: [&str; 7] = [
    "/publish",
    "/channels",
    "/channels/thread.1/presence",
    "/users/7/connections",
    "/metrics",
    "/ready",
    "/",
];

async fn server() -> Server {
    Launch::mechamap()
        .argument("--allow-origin")
        .argument("https://app.example")
        .start()
        .await
}

async fn preflight(http: &Http2, path: &str, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "GET"),
        (
            "access-control-request-headers",
            "authorization,last-event-id",
        ),
    ];
    http.send(Method::OPTIONS, path, &headers, Bytes::new())
        .await
}

fn list<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let text = headers[name].to_str().expect("a list of words");
    text.split(',').map(str::trim).collect()
}

fn grants(answer: &Answer) -> usize {
    let names = answer.headers.keys();
    names
        .filter(|name| name.as_str().starts_with("access-control-"))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowed_page_may_ask_and_read() {
    let server = server().await;
    let http = Http2::connect(server.address()).await;
    let own = format!("http://{}", server.address());
    for path in CONNECTING.iter().chain(&["/health"]) {
        for origin in [ALLOWED, &own] {
            let asked = preflight(&http, path, origin).await;
            assert_eq!(asked.status, 204, "{path}: {asked:?}");
            assert_eq!(asked.header("access-control-allow-origin"), Some(origin));
            assert_eq!(
                asked.header("access-control-allow-credentials"),
                Some("true")
            );
            assert_eq!(asked.header("vary"), Some("Origin"));
            let methods = list(&asked.headers, "access-control-allow-methods");
            assert_eq!(methods, ["GET", "POST"]);
            let headers = list(&asked.headers, "access-control-allow-headers");
            for name in [
                "authorization",
                "last-event-id",
                "content-type",
                "cache-control",
            ] {
                assert!(headers.contains(&name), "{name} is missing in {headers:?}");
            }
            let age = asked
                .header("access-control-max-age")
                .map(str::parse::<u32>);
            assert!(matches!(age, Some(Ok(1..))), "{asked:?}");
            // Whatever the answer is: the path alone is no request that all of these understand.
            let answer = http.get(path, &[("origin", origin)]).await;
            assert_ne!(answer.status, 403, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
            assert_eq!(
                answer.header("access-control-allow-credentials"),
                Some("true")
            );
            assert!(list(&answer.headers, "vary").contains(&"Origin"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_can_be_read_over_http_1_too() {
    let server = server().await;
    let refused = server
        .http()
        .handshake("/ws?token=nonsense", &[("origin", ALLOWED)])
        .await;
    refused.assert_refusal(401, "AUTH_FAILED");
    assert_eq!(refused.header("access-control-allow-origin"), Some(ALLOWED));
    let health = server.http().get("/health", &[("origin", ALLOWED)]).await;
    assert_eq!(health.status, 200);
    assert_eq!(health.header("access-control-allow-origin"), Some(ALLOWED));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_page_may_not_connect_and_reads_nothing() {
    let server = server().await;
    let http = Http2::connect(server.address()).await;
    for origin in [
        FOREIGN,
        "null",
        "https://app.example.b.example",
        "http://app.example",
    ] {
        for path in CONNECTING {
            let asked = preflight(&http, path, origin).await;
            asked.assert_refusal(403, "FORBIDDEN");
            assert_eq!(grants(&asked), 0, "{path}: {asked:?}");
            let answer = http.get(path, &[("origin", origin)]).await;
            answer.assert_refusal(403, "FORBIDDEN");
            assert_eq!(grants(&answer), 0, "{path}: {answer:?}");
            assert_eq!(answer.header("vary"), Some("Origin"));
        }
        let asked = preflight(&http, "/health", origin).await;
        assert_eq!((asked.status.is_success(), grants(&asked)), (false, 0));
        let health = http.get("/health", &[("origin", origin)]).await;
        assert_eq!((health.status.as_u16(), grants(&health)), (200, 0));
    }
    assert!(
        server
            .metric("fanfare_connections_rejected_total{reason=\"origin\"}")
            .await
            >= 32.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_no_page_made_is_granted_nothing() {
    let server = server().await;
    let http = Http2::connect(server.address()).await;
    for path in CONNECTING.iter().chain(&["/health"]) {
        let answer = http.get(path, &[]).await;
        assert_ne!(answer.status, 403, "{path}");
        assert_eq!(grants(&answer), 0, "{path}: {answer:?}");
        // But a cache must not give it to a page.
        assert!(list(&answer.headers, "vary").contains(&"Origin"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_api_is_for_no_page() {
    let server = server().await;
    let http = Http2::connect(server.address()).await;
    let bearer = format!("Bearer {API_KEY}");
    for path in SERVER_API {
        for origin in [ALLOWED, FOREIGN] {
            let asked = preflight(&http, path, origin).await;
            assert!(!asked.status.is_success(), "{path}: {asked:?}");
            assert_eq!(grants(&asked), 0, "{path}: {asked:?}");
            let headers = [("origin", origin), ("authorization", &*bearer)];
            let answer = http.get(path, &headers).await;
            assert_eq!(grants(&answer), 0, "{path}: {answer:?}");
        }
    }
}
