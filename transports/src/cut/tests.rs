//! Over real sockets: a service whose answers are streams of a session's events, as a transport's are.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use fanfare::codec::centrifuge::Centrifuge;
use fanfare::{
    Batch, Channel, Config, Disconnect, Event, Handshake, Identity, Node, Opening, Outbound,
    Priority, Session,
};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::Body;
use crate::server::connection::Protocols;
use crate::websocket::WebSocketFraming;

/// An outbox that a few events fill.
const SMALL: usize = 16 << 10;
const IN_TIME: Duration = Duration::from_secs(10);

/// Answers `/NAME` with the events of channel `NAME`, without end, and `/small` with one word.
#[derive(Clone)]
struct Feed(Node);

impl tower_service::Service<Request<hyper::body::Incoming>> for Feed {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<hyper::body::Incoming>) -> Self::Future {
        let node = self.0.clone();
        Box::pin(async move {
            let name = request.uri().path().trim_start_matches('/');
            if name == "small" {
                return Ok(Response::new(Body::from("word")));
            }
            let mut session = node
                .open(Opening {
                    transport: "sse",
                    codec: Arc::new(Centrifuge),
                    framing: Arc::new(WebSocketFraming),
                    handshake: Handshake::default(),
                    identity: Some(Identity::new(name).unwrap()),
                    channels: vec![Channel::new(name).unwrap()],
                    own_channel: false,
                    session: None,
                })
                .unwrap();
            session.receive(br#"{"id":1,"connect":{}}"#).await.unwrap();
            let outbound = session.outbound();
            super::register(outbound.clone());
            Ok(Response::new(Body::stream(Events {
                outbound,
                batch: VecDeque::new(),
                _session: session,
            })))
        })
    }
}

struct Events {
    outbound: Outbound,
    batch: VecDeque<Bytes>,
    _session: Session,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Disconnect;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Disconnect>>> {
        if self.batch.is_empty() {
            let mut batch = Batch::default();
            let polled = pin!(self.outbound.next_batch(&mut batch)).poll(context);
            if let Err(disconnect) = ready!(polled) {
                // Ends in order where the node goes down, else with an error.
                let in_order = disconnect == Disconnect::SHUTDOWN;
                return Poll::Ready((!in_order).then_some(Err(disconnect)));
            }
            let bytes = batch.copy_to_bytes(batch.remaining());
            self.batch.push_back(bytes);
        }
        Poll::Ready(self.batch.pop_front().map(|bytes| Ok(Frame::data(bytes))))
    }
}

struct Server {
    node: Node,
    address: SocketAddr,
    _ending: watch::Sender<()>,
}

impl Server {
    async fn start(outbox: usize) -> Self {
        let mut config = Config::default();
        config.limits.envelope = 8 << 10;
        config.buffers.flush = 8 << 10;
        config.buffers.outbox = outbox;
        config.buffers.pending = 64 << 10;
        let node = Node::builder().config(config).start().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ending, told) = watch::channel(());
        let protocols = Arc::new(Protocols::new(node.config(), None));
        let feed = Feed(node.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(protocols.clone().serve(stream, feed.clone(), told.clone()));
            }
        });
        Self {
            node,
            address,
            _ending: ending,
        }
    }

    async fn publish(&self, channel: &str, bytes: usize) {
        let json = format!("\"{}\"", "x".repeat(bytes));
        let event = Event::new(Channel::new(channel).unwrap(), "e", json).unwrap();
        let event = event.with_priority(Priority::High);
        self.node.publish(event).await.unwrap();
    }

    /// Publishes until no more than `left` sessions are there.
    async fn publish_until(&self, channel: &str, left: usize) {
        for _ in 0..10_000 {
            if self.node.sessions() <= left {
                return;
            }
            self.publish(channel, 7000).await;
            tokio::task::yield_now().await;
        }
        panic!("70 MB did not end a reader that stalls");
    }

    async fn http2(&self) -> http2::SendRequest<Empty<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (requests, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        requests
    }

    async fn sessions(&self, count: usize) {
        let reached = async {
            while self.node.sessions() != count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(IN_TIME, reached).await.unwrap();
    }
}

fn get(server: &Server, path: &str) -> Request<Empty<Bytes>> {
    let uri = format!("http://{}{path}", server.address);
    Request::get(uri).body(Empty::new()).unwrap()
}

async fn stalled_http1(server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let request = b"GET /a HTTP/1.1\r\nhost: a.example\r\n\r\n";
    stream.write_all(request).await.unwrap();
    server.sessions(1).await;
    stream
}

/// Reads to the end, whatever that is, and gives the last bytes.
async fn last_bytes(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let end = timeout(IN_TIME, stream.read_to_end(&mut all)).await;
    assert!(end.is_ok(), "the connection is still there");
    all.split_off(all.len().saturating_sub(5))
}

#[tokio::test]
async fn a_connection_of_http_1_that_stalls_is_closed() {
    let server = Server::start(SMALL).await;
    let stream = stalled_http1(&server).await;
    server.publish_until("a", 0).await;
    assert_ne!(
        last_bytes(stream).await,
        b"0\r\n\r\n",
        "that is a clean end"
    );
}

#[tokio::test]
async fn a_stream_of_http_2_that_stalls_is_reset_and_the_others_go_on() {
    let server = Server::start(SMALL).await;
    let mut requests = server.http2().await;
    let stalled = requests.send_request(get(&server, "/a")).await.unwrap();
    let mut reading = requests.send_request(get(&server, "/b")).await.unwrap();
    server.sessions(2).await;
    server.publish_until("a", 1).await;
    // Nothing that was read keeps what the first stream holds.
    let broken = async {
        let mut body = stalled.into_body();
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return true;
            }
        }
        false
    };
    assert!(timeout(IN_TIME, broken).await.unwrap(), "a clean end");
    server.publish("b", 100).await;
    let mut bytes = Vec::new();
    while !bytes.windows(3).any(|bytes| bytes == b"xxx") {
        let frame = timeout(IN_TIME, reading.body_mut().frame()).await.unwrap();
        bytes.extend(frame.unwrap().unwrap().into_data().unwrap());
    }
    let small = requests.send_request(get(&server, "/small")).await.unwrap();
    let word = small.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(word, "word");
    assert_eq!(server.node.sessions(), 1);
}

/// The end is told in the stream, so it needs a reader: one that stalls has 5 s.
#[tokio::test]
async fn an_end_in_order_waits_for_the_reader_but_not_for_ever() {
    let server = Server::start(64 << 20).await;
    let _stream = stalled_http1(&server).await;
    // More than the socket takes, less than would be too slow.
    for _ in 0..2000 {
        server.publish("a", 7000).await;
    }
    server.node.disconnect_user("a", &Disconnect::EXPIRED).await;
    let told = Instant::now();
    server.sessions(0).await;
    let limits = super::END_WITHIN - Duration::from_millis(500)..super::END_WITHIN * 2;
    assert!(limits.contains(&told.elapsed()), "{:?}", told.elapsed());
}

/// A body that ends with an error must not look whole.
#[tokio::test]
async fn an_answer_that_breaks_off_has_no_clean_end() {
    let server = Server::start(SMALL).await;
    let stream = stalled_http1(&server).await;
    let mut requests = server.http2().await;
    let answer = requests.send_request(get(&server, "/b")).await.unwrap();
    server.sessions(2).await;
    for user in ["a", "b"] {
        server
            .node
            .disconnect_user(user, &Disconnect::EXPIRED)
            .await;
    }
    assert_ne!(last_bytes(stream).await, b"0\r\n\r\n");
    let body = timeout(IN_TIME, answer.into_body().collect())
        .await
        .unwrap();
    assert!(body.is_err(), "{body:?}");
    server.sessions(0).await;
}

#[tokio::test]
async fn an_answer_in_order_leaves_the_connection_to_the_next() {
    let server = Server::start(SMALL).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a.example\r\n\r\n");
    stream.write_all(request("/a").as_bytes()).await.unwrap();
    server.sessions(1).await;
    server
        .node
        .disconnect_user("a", &Disconnect::SHUTDOWN)
        .await;
    server.sessions(0).await;
    read_until(&mut stream, b"0\r\n\r\n").await;
    // Longer than a stream may go on after its session was told to end.
    sleep(super::END_WITHIN + Duration::from_millis(500)).await;
    stream
        .write_all(request("/small").as_bytes())
        .await
        .unwrap();
    read_until(&mut stream, b"word").await;
}

async fn read_until(stream: &mut TcpStream, end: &[u8]) {
    let mut all = Vec::new();
    while !all.ends_with(end) {
        let read = timeout(IN_TIME, stream.read_buf(&mut all)).await;
        assert_ne!(
            read.unwrap().unwrap(),
            0,
            "{}",
            String::from_utf8_lossy(&all)
        );
    }
}
