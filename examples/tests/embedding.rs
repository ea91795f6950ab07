//! The small examples, run as they are: each serves, and an event arrives.

#![allow(clippy::unwrap_used, reason = "what a test cannot unwrap, it fails by")]

use std::net::SocketAddr;
use std::time::Duration;

use fanfare_examples::tokens::demo_token;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

#[allow(dead_code, reason = "its main function is not called here")]
#[path = "../examples/axum.rs"]
mod in_axum;
#[allow(dead_code, reason = "its main function is not called here")]
#[path = "../examples/hyper.rs"]
mod in_hyper;
#[allow(dead_code, reason = "its main function is not called here")]
#[path = "../examples/tower.rs"]
mod in_tower;
#[allow(dead_code, reason = "its main function is not called here")]
#[path = "../examples/newline_tcp.rs"]
mod newline_tcp;
#[allow(dead_code, reason = "its main function is not called here")]
#[path = "../examples/session_cookie.rs"]
mod session_cookie;

const SECRET: &str = "a secret of at least 32 characters";
const IN_TIME: Duration = Duration::from_secs(20);

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What a server says on a connection, as it comes.
struct Conversation {
    stream: TcpStream,
    heard: String,
}

impl Conversation {
    async fn begin(address: SocketAddr, says: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(says.as_bytes()).await.unwrap();
        let heard = String::new();
        Self { stream, heard }
    }

    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Waits until a text has been heard.
    async fn hear(&mut self, text: &str) {
        let mut buffer = vec![0; 4096];
        while !self.heard.contains(text) {
            let read = timeout(IN_TIME, self.stream.read(&mut buffer)).await;
            let length = read.unwrap_or_else(|_| panic!("no {text:?} in {}", self.heard));
            let length = length.unwrap();
            assert!(length > 0, "no {text:?} in {}", self.heard);
            self.heard
                .push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn in_axum_a_handler_publishes() {
    let (listener, address) = listen().await;
    tokio::spawn(async move { in_axum::serve(listener, SECRET.as_bytes()).await.unwrap() });
    let path = format!(
        "/realtime/sse?channel=orders.7&token={}",
        demo_token(SECRET).unwrap()
    );
    let mut client = Conversation::begin(address, &get(&path, "")).await;
    client.hear("id: ").await;
    let mut backend = Conversation::begin(address, &post("/orders/7/shipped", "", "")).await;
    backend.hear("202 Accepted").await;
    client.hear(r#"data: {"order":7,"status":"shipped"}"#).await;
}

/// Publishing takes an event set, which these have none of; that they carry a client is what counts.
async fn carries_a_client(address: SocketAddr, says: &str) {
    let path = format!(
        "/poll?channel=a&wait=0&token={}",
        demo_token(SECRET).unwrap()
    );
    let mut client = Conversation::begin(address, &get(&path, "")).await;
    client.hear(r#""events":[]"#).await;
    client.hear(says).await;
    let path = format!("/sse?channel=a&token={}", demo_token(SECRET).unwrap());
    let mut client = Conversation::begin(address, &get(&path, "")).await;
    client.hear("id: ").await;
    let key = "Authorization: Bearer a key\r\n";
    let mut operator = Conversation::begin(address, &get("/channels", key)).await;
    operator.hear(r#"{"channel":"a","subscribers":1}"#).await;
}

#[tokio::test]
async fn in_plain_hyper() {
    let (listener, address) = listen().await;
    tokio::spawn(async move { in_hyper::serve(listener, SECRET.as_bytes()).await.unwrap() });
    carries_a_client(address, "200 OK").await;
}

#[tokio::test]
async fn behind_layers_of_tower() {
    let (listener, address) = listen().await;
    tokio::spawn(async move { in_tower::serve(listener, SECRET.as_bytes()).await.unwrap() });
    carries_a_client(address, "x-served-by: realtime-1").await;
}

#[tokio::test]
async fn over_a_transport_of_ones_own() {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        newline_tcp::serve(listener, SECRET.as_bytes())
            .await
            .unwrap();
    });
    let token = demo_token(SECRET).unwrap();
    let connect = format!("{{\"id\":1,\"connect\":{{\"token\":\"{token}\"}}}}\n");
    let mut client = Conversation::begin(address, &connect).await;
    client.hear(r#""id":1,"connect":"#).await;
    client
        .say("{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}\n")
        .await;
    client.hear(r#"{"new":true}"#).await;
}

#[tokio::test]
async fn with_an_authenticator_of_ones_own() {
    let (listener, address) = listen().await;
    tokio::spawn(async move { session_cookie::serve(listener).await.unwrap() });
    let path = "/sse?channel=user.alice";
    let mut stranger = Conversation::begin(address, &get(path, "")).await;
    stranger.hear("401 Unauthorized").await;
    let mut browser = Conversation::begin(address, &post("/login/alice", "", "")).await;
    browser.hear("SameSite=Strict").await;
    let (_, cookie) = browser.heard.split_once("session=").unwrap();
    let (id, _) = cookie.split_once(';').unwrap();
    let cookie = format!("Cookie: theme=dark; session={id}\r\n");
    let mut client = Conversation::begin(address, &get(path, &cookie)).await;
    client.hear("200 OK").await;
    client.hear("id: ").await;
    let mut client = Conversation::begin(address, &get("/sse?channel=user.bob", &cookie)).await;
    client.hear("403 Forbidden").await;
    let mut browser = Conversation::begin(address, &post("/logout", &cookie, "")).await;
    browser.hear("204 No Content").await;
    let mut client = Conversation::begin(address, &get(path, &cookie)).await;
    client.hear("401 Unauthorized").await;
}
