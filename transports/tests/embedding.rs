//! The service in servers that are not ours, and the transport on streams that are not TCP.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

use std::net::SocketAddr;
use std::sync::Arc;

use fanfare::auth::jwt::JwtKey;
use fanfare::codec::centrifuge::Centrifuge;
use fanfare::{
    Channel, Disconnect, Event, Handshake, Identity, Node, Opening, Priority, Transport,
};
use fanfare_transports::Service;
use fanfare_transports::websocket::{WebSocket, WebSocketFraming};
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role};
use http::{Request, header};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

const SECRET: &[u8] = b"secret";

async fn node() -> Node {
    Node::builder()
        .jwt(JwtKey::Hs256(SECRET))
        .unwrap()
        .start()
        .await
        .unwrap()
}

async fn publish(node: &Node, json: &'static str) {
    let event = Event::new(Channel::new("thread.1").unwrap(), "e", json).unwrap();
    node.publish(event.with_priority(Priority::High))
        .await
        .unwrap();
}

/// A client on any stream.
struct Client<S>(FragmentCollector<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn send(&mut self, message: &Value) {
        let payload = Payload::Owned(message.to_string().into_bytes());
        self.0.write_frame(Frame::text(payload)).await.unwrap();
    }

    async fn receive(&mut self) -> Value {
        let frame = self.0.read_frame().await.unwrap();
        assert_eq!(frame.opcode, OpCode::Text);
        serde_json::from_slice(&frame.payload).unwrap()
    }

    async fn subscribe(&mut self) {
        let token = encode(
            &Header::default(),
            &json!({"sub": "1"}),
            &EncodingKey::from_secret(SECRET),
        )
        .unwrap();
        self.send(&json!({"id": 1, "connect": {"token": token}}))
            .await;
        assert!(self.receive().await.get("connect").is_some());
        self.send(&json!({"id": 2, "subscribe": {"channel": "thread.1"}}))
            .await;
        assert_eq!(self.receive().await["subscribe"]["offset"], 0);
    }
}

async fn connect(address: SocketAddr) -> Client<TokioIo<hyper::upgrade::Upgraded>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let request = Request::get("/ws")
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(
            header::SEC_WEBSOCKET_KEY,
            fastwebsockets::handshake::generate_key(),
        )
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let (socket, _) = fastwebsockets::handshake::client(&TokioExecutor::new(), request, stream)
        .await
        .unwrap();
    Client(FragmentCollector::new(socket))
}

async fn delivers(node: &Node, address: SocketAddr) {
    let mut client = connect(address).await;
    client.subscribe().await;
    publish(node, r#"{"a":1}"#).await;
    assert_eq!(
        client.receive().await["push"]["pub"],
        json!({"data": {"a": 1}, "offset": 1})
    );
}

#[tokio::test]
async fn in_axum() {
    let node = node().await;
    let service = Service::builder(node.clone()).build();
    let router = axum::Router::new()
        .route("/hello", axum::routing::get(|| async { "hello" }))
        .fallback_service(service);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    delivers(&node, address).await;
}

#[tokio::test]
async fn in_plain_hyper() {
    let node = node().await;
    let service = Service::builder(node.clone()).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(service.clone());
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::spawn(connection);
        }
    });
    delivers(&node, address).await;
}

/// A connection on a pipe that holds so many bytes.
async fn piped(
    node: &Node,
    bytes: usize,
) -> (
    Client<tokio::io::DuplexStream>,
    tokio::task::JoinHandle<Disconnect>,
) {
    let (near, far) = tokio::io::duplex(bytes);
    let session = node
        .open(Opening {
            transport: "websocket",
            codec: Arc::new(Centrifuge),
            framing: Arc::new(WebSocketFraming),
            handshake: Handshake::default(),
            identity: Some(Identity::new("1").unwrap()),
            channels: vec![Channel::new("thread.1").unwrap()],
            own_channel: false,
            session: None,
        })
        .unwrap();
    let serving = tokio::spawn(WebSocket::new(near, &[], 1 << 16).serve(session));
    let mut client = Client(FragmentCollector::new(
        fastwebsockets::WebSocket::after_handshake(far, Role::Client),
    ));
    client.send(&json!({"id": 1, "connect": {}})).await;
    assert!(
        client.receive().await["connect"]["subs"]
            .get("thread.1")
            .is_some()
    );
    (client, serving)
}

#[tokio::test]
async fn on_a_stream_that_is_not_tcp() {
    let node = node().await;
    let (mut client, serving) = piped(&node, 1 << 16).await;
    for _ in 0..100 {
        publish(&node, r#"{"a":1}"#).await;
    }
    let mut offsets = Vec::new();
    while offsets.len() < 100 {
        let frame = client.0.read_frame().await.unwrap();
        for line in frame.payload.split(|byte| *byte == b'\n') {
            offsets.push(
                serde_json::from_slice::<Value>(line).unwrap()["push"]["pub"]["offset"]
                    .as_u64()
                    .unwrap(),
            );
        }
    }
    assert_eq!(offsets, (1..=100).collect::<Vec<_>>());
    node.disconnect_user("1", &Disconnect::FORCE_RECONNECT)
        .await;
    let close = client.0.read_frame().await.unwrap();
    assert_eq!(
        (close.opcode, &close.payload[..2]),
        (OpCode::Close, &3011u16.to_be_bytes()[..])
    );
    drop(client);
    assert_eq!(serving.await.unwrap(), Disconnect::FORCE_RECONNECT);
    assert_eq!(node.sessions(), 0);
}

/// The client stops reading with the pipe full: its outbox fills, and the connection ends as slow
/// within the time that a close may take.
#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_is_ended() {
    let node = node().await;
    let (client, serving) = piped(&node, 1_000).await;
    let large: &'static str = format!("\"{}\"", "x".repeat(60_000)).leak();
    for _ in 0..40 {
        publish(&node, large).await;
    }
    assert_eq!(serving.await.unwrap(), Disconnect::SLOW);
    assert_eq!(node.sessions(), 0);
    drop(client);
}
