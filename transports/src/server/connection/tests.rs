//! How long a connection of HTTP/2 may have nothing to do, over real sockets.

use bytes::Bytes;
use fanfare::Node;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::Service;

const IDLE: Duration = Duration::from_millis(400);
const IN_TIME: Duration = Duration::from_secs(5);

type Body = Empty<Bytes>;
type Http2 = Connection<TokioIo<TcpStream>, Body, TokioExecutor>;

struct Server {
    address: std::net::SocketAddr,
    ending: watch::Sender<()>,
}

impl Server {
    /// Serves one connection, which may be idle for so long.
    async fn start(idle: Duration) -> Self {
        Self::pinging(idle, PING_EVERY, PONG_WITHIN).await
    }

    async fn pinging(idle: Duration, ping: Duration, pong: Duration) -> Self {
        let node = Node::builder().start().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ending, told) = watch::channel(());
        let protocols = Protocols {
            idle,
            ping,
            pong,
            ..Protocols::new(node.config(), None)
        };
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = Service::builder(node).build();
            Arc::new(protocols).serve(stream, service, told).await;
        });
        Self { address, ending }
    }

    async fn connect(&self) -> (SendRequest<Body>, Http2) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap()
    }

    fn health(&self) -> Request<Body> {
        let uri = format!("http://{}/health", self.address);
        Request::get(uri).body(Empty::new()).unwrap()
    }
}

async fn answered(requests: &mut SendRequest<Body>, server: &Server) {
    let response = requests.send_request(server.health()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body().collect().await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_ended_in_order() {
    let server = Server::start(IDLE).await;
    let (mut requests, connection) = server.connect().await;
    let connection = tokio::spawn(connection);
    let begun = Instant::now();
    while begun.elapsed() < 2 * IDLE {
        // Each of them begins the time anew.
        answered(&mut requests, &server).await;
        sleep(IDLE / 4).await;
    }
    let last = Instant::now();
    let ended = timeout(IN_TIME, connection).await.unwrap().unwrap();
    ended.expect("GOAWAY, and nothing worse");
    assert!(last.elapsed() > IDLE / 2, "{:?}", last.elapsed());
}

#[tokio::test]
async fn a_connection_with_a_stream_is_not_idle() {
    let server = Server::start(IDLE).await;
    let (mut requests, connection) = server.connect().await;
    let connection = tokio::spawn(connection);
    answered(&mut requests, &server).await;
    let mut request = server.health();
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = format!("http://{}/ws", server.address).parse().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-version", "13".parse().unwrap());
    let protocol = hyper::ext::Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    let response = requests.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let stream = hyper::upgrade::on(response).await.unwrap();
    sleep(3 * IDLE).await;
    answered(&mut requests, &server).await;
    drop(stream);
    let ended = timeout(IN_TIME, connection).await.unwrap().unwrap();
    ended.expect("GOAWAY, and nothing worse");
}

/// The server says GOAWAY, and answers what is under way.
#[tokio::test]
async fn the_servers_end_is_the_connections() {
    let server = Server::start(10 * IN_TIME).await;
    let (mut requests, connection) = server.connect().await;
    let connection = tokio::spawn(connection);
    answered(&mut requests, &server).await;
    server.ending.send_replace(());
    let ended = timeout(IN_TIME, connection).await.unwrap().unwrap();
    ended.expect("GOAWAY, and nothing worse");
}

/// The peer is there, as far as TCP can tell.
#[tokio::test]
async fn a_peer_that_answers_no_ping_is_cut() {
    let (ping, pong) = (Duration::from_millis(300), Duration::from_millis(300));
    let server = Server::pinging(10 * IN_TIME, ping, pong).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let begun = Instant::now();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    // HEADERS of stream 1, which end both: GET / by http, from the static table of RFC 7541.
    stream
        .write_all(b"\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let end = timeout(IN_TIME, stream.read_to_end(&mut answer)).await;
    assert!(end.is_ok(), "the connection is still there");
    assert!(begun.elapsed() >= ping + pong / 2, "{:?}", begun.elapsed());
    let asked = answer.windows(4).any(|bytes| bytes == b"\x08\x06\0\0");
    assert!(asked, "no PING is in {answer:?}");
}
