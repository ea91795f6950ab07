//! Clients of every transport over real sockets, which collect the numbers of events.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload};
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// Where a client stood when it was cut.
pub(crate) type Place = Option<String>;

/// The numbers of a stretch of events, and the place behind it.
pub(crate) type Taken = (Vec<u64>, Place);

/// One transport, as a client comes with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    WebSocket,
    SocketIo,
    EventStream,
    LongPoll,
}

impl Transport {
    pub(crate) const ALL: [Self; 4] = [
        Self::WebSocket,
        Self::SocketIo,
        Self::EventStream,
        Self::LongPoll,
    ];

    /// Connects, and returns with the client in place.
    pub(crate) async fn connect(self, at: SocketAddr, token: &str, place: Place) -> Client {
        match self {
            Self::WebSocket => Client::WebSocket(WebSocket::connect(at, token, place).await),
            Self::SocketIo => Client::SocketIo(SocketIo::connect(at, token, place).await),
            Self::EventStream => {
                Client::EventStream(Box::new(EventStream::connect(at, token, place).await))
            }
            Self::LongPoll => Client::LongPoll(LongPoll::begin(at, token, place).await),
        }
    }
}

pub(crate) enum Client {
    WebSocket(WebSocket),
    SocketIo(SocketIo),
    EventStream(Box<EventStream>),
    LongPoll(LongPoll),
}

impl Client {
    /// What comes up to the event with the number `last`.
    pub(crate) async fn until(&mut self, last: u64) -> Taken {
        let mut numbers = Vec::new();
        while numbers.last() != Some(&last) {
            let more = timeout(SOON, self.more());
            numbers.extend(
                more.await
                    .unwrap_or_else(|_| panic!("{numbers:?} and no more")),
            );
        }
        (numbers, self.place())
    }

    async fn more(&mut self) -> Vec<u64> {
        match self {
            Self::WebSocket(client) => client.more().await,
            Self::SocketIo(client) => client.more().await,
            Self::EventStream(client) => client.more().await,
            Self::LongPoll(client) => client.more(20).await,
        }
    }

    fn place(&self) -> Place {
        Some(match self {
            Self::WebSocket(client) => format!("{} {}", client.epoch, client.offset),
            Self::SocketIo(client) => client.cursor.clone(),
            Self::EventStream(client) => client.id.clone(),
            Self::LongPoll(client) => client.cursor.clone(),
        })
    }
}

type Socket = FragmentCollector<TokioIo<Upgraded>>;

async fn upgrade(at: SocketAddr, path: &str, receive: Option<u32>) -> Socket {
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(bytes) = receive {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    let stream = socket.connect(at).await.unwrap();
    let request = Request::get(path)
        .header(header::HOST, at.to_string())
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(
            header::SEC_WEBSOCKET_KEY,
            fastwebsockets::handshake::generate_key(),
        )
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let (socket, _) = fastwebsockets::handshake::client(&TokioExecutor::new(), request, stream)
        .await
        .unwrap();
    FragmentCollector::new(socket)
}

async fn send(socket: &mut Socket, text: String) {
    let payload = Payload::Owned(text.into_bytes());
    socket.write_frame(Frame::text(payload)).await.unwrap();
}

async fn receive(socket: &mut Socket) -> String {
    let frame = socket.read_frame().await.unwrap();
    assert_eq!(frame.opcode, OpCode::Text);
    String::from_utf8(frame.payload.to_vec()).unwrap()
}

pub(crate) struct WebSocket {
    socket: Socket,
    epoch: String,
    offset: u64,
    /// What the reply to subscribe brought.
    missed: Vec<u64>,
    /// How many events the server says that it gave up.
    pub(crate) dropped: u64,
}

impl WebSocket {
    async fn connect(at: SocketAddr, token: &str, place: Place) -> Self {
        Self::with_buffer(at, token, place, None).await
    }

    /// A client whose socket holds few bytes.
    pub(crate) async fn with_buffer(
        at: SocketAddr,
        token: &str,
        place: Place,
        receive_buffer: Option<u32>,
    ) -> Self {
        let mut socket = upgrade(at, "/ws", receive_buffer).await;
        send(
            &mut socket,
            json!({"id": 1, "connect": {"token": token}}).to_string(),
        )
        .await;
        assert!(receive(&mut socket).await.contains("\"connect\""));
        let mut subscribe = json!({"channel": "session"});
        if let Some((epoch, offset)) = place.as_deref().and_then(|place| place.split_once(' ')) {
            subscribe["recover"] = true.into();
            subscribe["epoch"] = epoch.into();
            subscribe["offset"] = offset.parse::<u64>().unwrap().into();
        }
        send(
            &mut socket,
            json!({"id": 2, "subscribe": subscribe}).to_string(),
        )
        .await;
        let reply = receive(&mut socket).await;
        let (reply, rest) = reply.split_once('\n').unwrap_or((&reply, ""));
        let reply = serde_json::from_str::<Value>(reply).unwrap();
        let subscribed = &reply["subscribe"];
        assert_ne!(subscribed["recovered"], false, "{reply}");
        let mut client = Self {
            socket,
            epoch: subscribed["epoch"].as_str().unwrap().to_owned(),
            offset: subscribed["offset"].as_u64().unwrap(),
            missed: Vec::new(),
            dropped: 0,
        };
        let missed = subscribed["publications"].as_array().into_iter().flatten();
        client.missed = missed.map(|p| client.take(p)).collect();
        let live = client.read(rest);
        client.missed.extend(live);
        client
    }

    fn take(&mut self, publication: &Value) -> u64 {
        if let Some(offset) = publication["offset"].as_u64() {
            assert!(offset > self.offset, "{offset} after {}", self.offset);
            self.offset = offset;
        }
        number(&publication["data"])
    }

    fn read(&mut self, message: &str) -> Vec<u64> {
        let mut numbers = Vec::new();
        for line in message.lines() {
            let line = serde_json::from_str::<Value>(line).unwrap();
            if let Some(publication) = line.pointer("/push/pub") {
                numbers.push(self.take(publication));
            }
            let count = line.pointer("/push/message/data/count");
            self.dropped += count.and_then(Value::as_u64).unwrap_or_default();
        }
        numbers
    }

    pub(crate) async fn more(&mut self) -> Vec<u64> {
        if !self.missed.is_empty() {
            return std::mem::take(&mut self.missed);
        }
        let message = receive(&mut self.socket).await;
        if message == "{}" {
            send(&mut self.socket, message).await;
            return Vec::new();
        }
        self.read(&message)
    }

    /// What comes until nothing has come for a while.
    pub(crate) async fn until_silence(&mut self) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Ok(more) = timeout(Duration::from_secs(2), self.more()).await {
            numbers.extend(more);
        }
        numbers
    }
}

pub(crate) struct SocketIo {
    socket: Socket,
    cursor: String,
}

impl SocketIo {
    async fn connect(at: SocketAddr, token: &str, place: Place) -> Self {
        let path = "/socket.io/?EIO=4&transport=websocket&recover=1&channel=session";
        let mut socket = upgrade(at, path, None).await;
        assert!(receive(&mut socket).await.starts_with('0'));
        let mut auth = json!({ "token": token });
        if let Some(cursor) = &place {
            auth["pid"] = "p0".into();
            auth["offset"] = cursor.as_str().into();
        }
        send(&mut socket, format!("40{auth}")).await;
        let reply = receive(&mut socket).await;
        assert!(reply.starts_with("40{"), "{reply}");
        if place.is_some() {
            assert!(reply.contains(r#""pid":"p0""#), "recovered: {reply}");
        }
        let mut client = Self {
            socket,
            cursor: String::new(),
        };
        while client.cursor.is_empty() {
            assert_eq!(client.more().await, [0; 0]);
        }
        client
    }

    async fn more(&mut self) -> Vec<u64> {
        let packet = receive(&mut self.socket).await;
        if packet == "2" {
            send(&mut self.socket, "3".to_owned()).await;
            return Vec::new();
        }
        let event = serde_json::from_str::<Value>(packet.strip_prefix("42").unwrap()).unwrap();
        let event = event.as_array().unwrap();
        self.cursor = event.last().unwrap().as_str().unwrap().to_owned();
        match event.len() {
            2 => Vec::new(),
            _ => vec![number(&event[1])],
        }
    }
}

/// Sends a request on a connection of its own.
async fn ask(at: SocketAddr, token: &str, path: &str) -> http::Response<Incoming> {
    let stream = TcpStream::connect(at).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, at.to_string())
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

pub(crate) struct EventStream {
    body: Incoming,
    text: String,
    id: String,
}

impl EventStream {
    async fn connect(at: SocketAddr, token: &str, place: Place) -> Self {
        let cursor = place.map(|cursor| format!("&cursor={cursor}"));
        let path = format!("/sse?channel=session{}", cursor.unwrap_or_default());
        let mut stream = Self {
            body: ask(at, token, &path).await.into_body(),
            text: String::new(),
            id: String::new(),
        };
        while stream.id.is_empty() {
            stream.read().await;
            stream.id = stream.text.split("\n\n").find_map(id).unwrap_or_default();
        }
        stream
    }

    async fn read(&mut self) {
        let frame = self.body.frame().await.unwrap().unwrap();
        let piece = frame.into_data().unwrap();
        self.text.push_str(std::str::from_utf8(&piece).unwrap());
    }

    async fn more(&mut self) -> Vec<u64> {
        while !self.text.contains("\n\n") {
            self.read().await;
        }
        let end = self.text.rfind("\n\n").unwrap();
        let blocks = self.text.drain(..end + 2).collect::<String>();
        assert!(!blocks.contains("unrecovered"), "{blocks}");
        let last = blocks.split("\n\n").filter_map(id).last();
        self.id = last.unwrap_or_else(|| self.id.clone());
        let data = blocks
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| number(&serde_json::from_str(data).unwrap()))
            .collect()
    }
}

fn id(block: &str) -> Option<String> {
    let mut lines = block.lines();
    lines
        .find_map(|line| line.strip_prefix("id: "))
        .map(str::to_owned)
}

pub(crate) struct LongPoll {
    at: SocketAddr,
    token: String,
    pub(crate) cursor: String,
    pub(crate) offset: u64,
}

impl LongPoll {
    pub(crate) async fn begin(at: SocketAddr, token: &str, place: Place) -> Self {
        let mut client = Self {
            at,
            token: token.to_owned(),
            cursor: place.unwrap_or_default(),
            offset: 0,
        };
        if client.cursor.is_empty() {
            assert_eq!(client.more(0).await, [0; 0]);
        }
        client
    }

    pub(crate) async fn more(&mut self, wait: u32) -> Vec<u64> {
        let cursor = match self.cursor.as_str() {
            "" => String::new(),
            cursor => format!("&cursor={cursor}"),
        };
        let path = format!("/poll?channel=session&wait={wait}{cursor}");
        let body = ask(self.at, &self.token, &path).await.into_body();
        let body = body.collect().await.unwrap().to_bytes();
        let answer = serde_json::from_slice::<Value>(&body).unwrap();
        assert_ne!(answer["recovered"], false, "{answer}");
        self.cursor = answer["cursor"].as_str().unwrap().to_owned();
        self.offset = answer["positions"]["session"]["offset"].as_u64().unwrap();
        let events = answer["events"].as_array().unwrap().iter();
        events.map(|event| number(&event["data"])).collect()
    }
}

fn number(payload: &Value) -> u64 {
    payload["number"].as_u64().unwrap()
}
