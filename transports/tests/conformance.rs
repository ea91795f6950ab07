//! The transports of this crate pass the public kit, over real sockets where they have one.
//!
//! A transport more is a client of it here, and a test of one line.

#![allow(clippy::unwrap_used, reason = "a suite, not a library")]

#[path = "conformance/socket_io.rs"]
mod socket_io_client;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use fanfare::codec::centrifuge::Centrifuge;
use fanfare::testing::transport::{
    Capabilities, Client, Connecting, End, Plan, Received, Report, check_all,
};
use fanfare::{Channel, Handshake, Node, Opening, Transport};
use fanfare_transports::websocket::{WebSocket, WebSocketFraming};
use fanfare_transports::{Server, Service};
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, Role};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::AbortHandle;

use self::socket_io_client::SocketIoClient;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_over_tcp() {
    assert_complete(&check_all::<WebSocketClient<Upgraded>>(&Plan::default()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_over_a_pipe() {
    assert_complete(&check_all::<WebSocketClient<DuplexStream>>(&Plan::default()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_io() {
    assert_complete(&check_all::<SocketIoClient>(&Plan::default()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_sent_events() {
    assert_complete(&check_all::<SseClient>(&Plan::default()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_poll() {
    let report = check_all::<PollClient>(&Plan::default()).await;
    let left_out = report.left_out.iter().map(|(concern, _)| *concern);
    assert_eq!(left_out.collect::<Vec<_>>(), ["stalls"]);
}

fn assert_complete(report: &Report) {
    assert_eq!(report.left_out, [], "{report}");
}

/// A server of a node on a TCP port. Dropping it ends its listening.
struct Served {
    address: SocketAddr,
    task: AbortHandle,
}

impl Served {
    async fn new(node: Node) -> Self {
        let service = Service::builder(node).build();
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), service)
            .await
            .unwrap();
        Self {
            address: server.local_addr().unwrap(),
            task: tokio::spawn(server.serve(std::future::pending())).abort_handle(),
        }
    }

    /// A socket that holds little, so that a client which does not read is noticed soon.
    async fn socket(&self) -> Result<TcpStream, End> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.connect(self.address).await.map_err(|_| End::Lost)
    }

    async fn websocket(&self, path: &str) -> Result<fastwebsockets::WebSocket<Upgraded>, End> {
        let request = Request::get(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header(
                header::SEC_WEBSOCKET_KEY,
                fastwebsockets::handshake::generate_key(),
            )
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let stream = self.socket().await?;
        let (socket, _) = fastwebsockets::handshake::client(&TokioExecutor::new(), request, stream)
            .await
            .map_err(|_| End::Told)?;
        Ok(socket)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn query(channels: &[Channel]) -> String {
    let channels = channels.iter().map(|channel| format!("channel={channel}"));
    channels.collect::<Vec<_>>().join("&")
}

type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// A client of the Centrifuge protocol on any stream.
struct WebSocketClient<S> {
    socket: FragmentCollector<S>,
    /// What came and was not returned yet.
    unread: VecDeque<(String, Publication)>,
    /// Epoch and offset of what was returned last.
    positions: Positions,
}

type Positions = BTreeMap<String, (String, u64)>;

/// One line of a message.
#[derive(Deserialize)]
struct Line {
    connect: Option<Connected>,
    push: Option<Push>,
}

#[derive(Deserialize)]
struct Connected {
    subs: BTreeMap<String, Subscribed>,
}

#[derive(Deserialize)]
struct Subscribed {
    epoch: String,
    offset: u64,
    #[serde(default)]
    publications: Vec<Publication>,
}

#[derive(Deserialize)]
struct Push {
    channel: String,
    #[serde(rename = "pub")]
    publication: Option<Publication>,
}

#[derive(Deserialize)]
struct Publication {
    data: Box<RawValue>,
    offset: Option<u64>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketClient<S> {
    async fn start(
        mut socket: fastwebsockets::WebSocket<S>,
        connecting: &Connecting<'_, Positions>,
    ) -> Result<Self, End> {
        socket.set_max_message_size(64 << 20);
        let positions = connecting.resume.into_iter().flatten();
        let subs = positions.map(|(channel, (epoch, offset))| {
            let recover = json!({"recover": true, "epoch": epoch, "offset": offset});
            (channel.clone(), recover)
        });
        let subs = Value::Object(subs.collect());
        let connect = json!({"id": 1, "connect": {"token": connecting.token, "subs": subs}});
        let mut client = Self {
            socket: FragmentCollector::new(socket),
            unread: VecDeque::new(),
            positions: BTreeMap::new(),
        };
        client.send(connect.to_string()).await?;
        while client.positions.is_empty() {
            client.read().await?;
        }
        Ok(client)
    }

    async fn send(&mut self, message: String) -> Result<(), End> {
        let frame = Frame::text(Payload::Owned(message.into_bytes()));
        self.socket.write_frame(frame).await.map_err(|_| End::Lost)
    }

    /// One message.
    async fn read(&mut self) -> Result<(), End> {
        let frame = self.socket.read_frame().await.map_err(|_| End::Lost)?;
        if frame.opcode == OpCode::Close {
            return Err(End::Told);
        }
        if frame.payload[..] == *b"{}" {
            return self.send("{}".to_owned()).await;
        }
        for line in frame.payload.split(|byte| *byte == b'\n') {
            let line = serde_json::from_slice::<Line>(line).unwrap();
            for (channel, subscribed) in line.connect.into_iter().flat_map(|c| c.subs) {
                let position = (subscribed.epoch, subscribed.offset);
                self.positions.insert(channel.clone(), position);
                let publications = subscribed.publications.into_iter();
                self.unread
                    .extend(publications.map(|missed| (channel.clone(), missed)));
            }
            if let Some(push) = line.push {
                self.unread
                    .extend(push.publication.map(|new| (push.channel, new)));
            }
        }
        Ok(())
    }

    async fn next_event(&mut self) -> Result<Received, End> {
        while self.unread.is_empty() {
            self.read().await?;
        }
        let (channel, publication) = self.unread.pop_front().unwrap();
        if let Some(offset) = publication.offset {
            self.positions.get_mut(&channel).unwrap().1 = offset;
        }
        Ok(Received {
            channel: Some(channel),
            payload: publication.data.get().as_bytes().to_vec().into(),
        })
    }
}

impl Client for WebSocketClient<Upgraded> {
    type Server = Served;
    type Resume = Positions;

    async fn serve(node: Node) -> Served {
        Served::new(node).await
    }

    async fn connect(server: &Served, connecting: Connecting<'_, Positions>) -> Result<Self, End> {
        let path = format!("/ws?{}", query(connecting.channels));
        let socket = server.websocket(&path).await?;
        Self::start(socket, &connecting).await
    }

    async fn next(&mut self) -> Result<Received, End> {
        self.next_event().await
    }

    fn resume(&self) -> Option<Positions> {
        Some(self.positions.clone())
    }
}

impl Client for WebSocketClient<DuplexStream> {
    type Server = Node;
    type Resume = Positions;

    async fn serve(node: Node) -> Node {
        node
    }

    async fn connect(node: &Node, connecting: Connecting<'_, Positions>) -> Result<Self, End> {
        let (near, far) = tokio::io::duplex(16 << 10);
        let opening = Opening {
            transport: "websocket",
            codec: Arc::new(Centrifuge),
            framing: Arc::new(WebSocketFraming),
            handshake: Handshake::default(),
            identity: None,
            channels: connecting.channels.to_vec(),
            own_channel: false,
            session: None,
        };
        let session = node.open(opening).map_err(|_| End::Told)?;
        tokio::spawn(WebSocket::new(near, &[], 1 << 16).serve(session));
        let socket = fastwebsockets::WebSocket::after_handshake(far, Role::Client);
        Self::start(socket, &connecting).await
    }

    async fn next(&mut self) -> Result<Received, End> {
        self.next_event().await
    }

    fn resume(&self) -> Option<Positions> {
        Some(self.positions.clone())
    }
}

/// An HTTP/1.1 connection. Dropping it cuts it.
struct Http {
    requests: SendRequest<Empty<Bytes>>,
    connection: AbortHandle,
    token: String,
}

impl Http {
    async fn to(server: &Served, token: &str) -> Result<Self, End> {
        let stream = TokioIo::new(server.socket().await?);
        let (requests, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(16 << 10)
            .handshake(stream)
            .await
            .map_err(|_| End::Lost)?;
        Ok(Self {
            requests,
            connection: tokio::spawn(connection).abort_handle(),
            token: format!("Bearer {token}"),
        })
    }

    /// The answer, if it is a good one.
    async fn get(&mut self, path: &str, cursor: Option<&str>) -> Result<Response<Incoming>, End> {
        let mut request = Request::get(path)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, &self.token);
        if let Some(cursor) = cursor {
            request = request.header("last-event-id", cursor);
        }
        let request = request.body(Empty::new()).unwrap();
        self.requests.ready().await.map_err(|_| End::Lost)?;
        let response = self.requests.send_request(request).await;
        let response = response.map_err(|_| End::Lost)?;
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::SERVICE_UNAVAILABLE => Err(End::Told),
            status => panic!("{path} was answered with {status}"),
        }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What an EventSource does.
struct SseClient {
    body: Incoming,
    unread: BytesMut,
    cursor: Option<String>,
    _connection: Http,
}

impl SseClient {
    async fn line(&mut self) -> Result<String, End> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.split_to(end);
                self.unread.advance(1);
                return Ok(String::from_utf8(line.to_vec()).unwrap());
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.unread.extend_from_slice(&frame.into_data().unwrap()),
                Some(Err(_)) => return Err(End::Lost),
                None => return Err(End::Told),
            }
        }
    }
}

impl Client for SseClient {
    type Server = Served;
    type Resume = String;

    async fn serve(node: Node) -> Served {
        Served::new(node).await
    }

    async fn connect(server: &Served, connecting: Connecting<'_, String>) -> Result<Self, End> {
        let mut connection = Http::to(server, connecting.token).await?;
        let path = format!("/sse?{}", query(connecting.channels));
        let cursor = connecting.resume.map(String::as_str);
        let mut client = Self {
            body: connection.get(&path, cursor).await?.into_body(),
            unread: BytesMut::new(),
            cursor: None,
            _connection: connection,
        };
        while client.cursor.is_none() {
            let line = client.line().await?;
            client.cursor = line.strip_prefix("id: ").map(str::to_owned);
        }
        Ok(client)
    }

    async fn next(&mut self) -> Result<Received, End> {
        let mut id = None;
        loop {
            let line = self.line().await?;
            if let Some(cursor) = line.strip_prefix("id: ") {
                id = Some(cursor.to_owned());
            } else if let Some(data) = line.strip_prefix("data: ") {
                // As an EventSource does it, which takes the id when the event is complete.
                self.cursor = id.or(self.cursor.take());
                return Ok(Received {
                    channel: None,
                    payload: Bytes::copy_from_slice(data.as_bytes()),
                });
            }
        }
    }

    fn resume(&self) -> Option<String> {
        self.cursor.clone()
    }
}

/// A client that asks again and again.
struct PollClient {
    connection: Http,
    channels: String,
    cursor: String,
    unread: VecDeque<PolledEvent>,
}

#[derive(Deserialize)]
struct Answer {
    cursor: String,
    events: VecDeque<PolledEvent>,
}

#[derive(Deserialize)]
struct PolledEvent {
    channel: String,
    data: Box<RawValue>,
}

impl PollClient {
    async fn poll(&mut self, wait: u32) -> Result<(), End> {
        let mut path = format!("/poll?{}&wait={wait}", self.channels);
        if !self.cursor.is_empty() {
            path = format!("{path}&cursor={}", self.cursor);
        }
        let response = self.connection.get(&path, None).await?;
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|_| End::Lost)?;
        let answer = serde_json::from_slice::<Answer>(&body.to_bytes()).unwrap();
        (self.cursor, self.unread) = (answer.cursor, answer.events);
        Ok(())
    }
}

impl Client for PollClient {
    type Server = Served;
    type Resume = String;

    fn capabilities() -> Capabilities {
        Capabilities {
            ephemeral: false,
            stream: false,
            ..Capabilities::default()
        }
    }

    async fn serve(node: Node) -> Served {
        Served::new(node).await
    }

    async fn connect(server: &Served, connecting: Connecting<'_, String>) -> Result<Self, End> {
        let mut client = Self {
            connection: Http::to(server, connecting.token).await?,
            channels: query(connecting.channels),
            cursor: connecting.resume.cloned().unwrap_or_default(),
            unread: VecDeque::new(),
        };
        if client.cursor.is_empty() {
            client.poll(0).await?;
        }
        Ok(client)
    }

    async fn next(&mut self) -> Result<Received, End> {
        while self.unread.is_empty() {
            self.poll(5).await?;
        }
        let event = self.unread.pop_front().unwrap();
        Ok(Received {
            channel: Some(event.channel),
            payload: Bytes::copy_from_slice(event.data.get().as_bytes()),
        })
    }

    fn resume(&self) -> Option<String> {
        self.unread.is_empty().then(|| self.cursor.clone())
    }
}
