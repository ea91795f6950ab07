//! A client of Socket.IO that shows every packet, on either of its transports.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::http::{Answer, Http};
use crate::raw::{RawSocket, TEXT};
use crate::server::Server;
use crate::token::Token;

/// Between the packets of one body.
pub const SEPARATOR: char = '\u{1e}';

/// What carries the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A WebSocket from the start.
    WebSocket,
    /// HTTP long-polling.
    Polling,
}

/// Both carriers.
pub const CARRIERS: [Carrier; 2] = [Carrier::WebSocket, Carrier::Polling];

/// A session of Engine.IO by HTTP long-polling.
#[derive(Clone, Debug)]
pub struct Poller {
    http: Http,
    path: String,
    /// The server's answer to the handshake.
    pub open: Value,
}

impl Poller {
    /// Opens a session; `query` stands behind what every client sends.
    ///
    /// # Panics
    /// Where the server does not open one.
    pub async fn open(server: &Server, query: &str) -> Self {
        let path = "/socket.io/?EIO=4&transport=polling";
        let http = server.http().clone();
        let answer = http.get(&format!("{path}{query}"), &[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = text(&answer);
        let open = body.strip_prefix('0').expect("a packet of type open");
        let open = serde_json::from_str::<Value>(open).expect("an object");
        let sid = open["sid"].as_str().expect("a session id");
        Self {
            http,
            path: format!("{path}&sid={sid}"),
            open,
        }
    }

    /// The session's id.
    #[must_use]
    pub fn sid(&self) -> &str {
        self.open["sid"].as_str().expect("a session id")
    }

    /// The path of its requests.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// One poll.
    pub async fn poll(&self) -> Answer {
        self.http.get(&self.path, &[]).await
    }

    /// The packets of one poll.
    ///
    /// # Panics
    /// Where the poll is refused.
    pub async fn packets(&self) -> Vec<String> {
        let answer = self.poll().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        split(&answer)
    }

    /// Posts a body.
    pub async fn post(&self, body: &str) -> Answer {
        let headers = [("content-type", "text/plain;charset=UTF-8")];
        self.http
            .post(&self.path, &headers, body.as_bytes().to_vec())
            .await
    }

    /// Posts packets that the server has to take.
    ///
    /// # Panics
    /// Where it does not.
    pub async fn send(&self, packets: &str) {
        let answer = self.post(packets).await;
        assert_eq!((answer.status.as_u16(), &*text(&answer)), (200, "ok"));
    }

    /// Checks that the server knows nothing of the session any more.
    ///
    /// # Panics
    /// Where it does.
    pub async fn assert_gone(&self) {
        let answer = self.poll().await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(
            answer.json(),
            json!({"code": 1, "message": "Session ID unknown"})
        );
    }
}

/// The packets of an answer.
#[must_use]
pub fn split(answer: &Answer) -> Vec<String> {
    text(answer).split(SEPARATOR).map(str::to_owned).collect()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).expect("packets are UTF-8")
}

/// Opens a session on a WebSocket and reads the packet that opens it.
pub async fn open_websocket(server: &Server, query: &str) -> RawSocket {
    let mut socket = RawSocket::connect(server.address()).await;
    socket
        .upgrade(&format!("/socket.io/?EIO=4&transport=websocket{query}"))
        .await;
    let open = socket.text().await;
    assert!(open.starts_with(r#"0{"sid":""#), "{open}");
    socket
}

#[derive(Debug)]
enum Line {
    WebSocket(Box<RawSocket>),
    Polling(Box<Poller>),
}

/// A connection that speaks Socket.IO. Pings are answered while something is waited for.
#[derive(Debug)]
pub struct SocketIo {
    line: Line,
    arrived: VecDeque<String>,
    /// Events that came while an ack was awaited, as they came.
    pub events: Vec<String>,
    next_ack: u32,
}

impl SocketIo {
    /// Opens the engine's connection. Who the client is has not been said then.
    pub async fn open(server: &Server, carrier: Carrier, query: &str) -> Self {
        let line = match carrier {
            Carrier::WebSocket => Line::WebSocket(Box::new(open_websocket(server, query).await)),
            Carrier::Polling => Line::Polling(Box::new(Poller::open(server, query).await)),
        };
        Self {
            line,
            arrived: VecDeque::new(),
            events: Vec::new(),
            next_ack: 0,
        }
    }

    /// A connection of the user whom `token` names.
    ///
    /// # Panics
    /// Where the server does not let them in.
    pub async fn connect(server: &Server, carrier: Carrier, token: &Token) -> Self {
        let mut client = Self::open(server, carrier, "").await;
        let auth = json!({ "token": token.sign() });
        let answer = client.introduce(&auth).await;
        assert!(answer.starts_with(r#"40{"sid":""#), "{answer}");
        client
    }

    /// Sends the connect packet, and gives the answer.
    pub async fn introduce(&mut self, auth: &Value) -> String {
        self.send(&format!("40{auth}")).await;
        self.packet()
            .await
            .expect("an answer to the connect packet")
    }

    /// Sends one packet. That the server may have ended the connection is no failure.
    pub async fn send(&mut self, packet: &str) {
        match &mut self.line {
            Line::WebSocket(socket) => socket.send_text(packet).await,
            Line::Polling(poller) => {
                poller.post(packet).await;
            }
        }
    }

    /// The next packet that is no ping; none where the connection has ended.
    pub async fn packet(&mut self) -> Option<String> {
        loop {
            while let Some(packet) = self.arrived.pop_front() {
                match packet.as_str() {
                    "2" => self.send("3").await,
                    "1" | "6" => return None,
                    _ => return Some(packet),
                }
            }
            match &mut self.line {
                Line::WebSocket(socket) => {
                    let frame = socket.frame().await.filter(|frame| frame.first == TEXT)?;
                    let packet = String::from_utf8(frame.payload).expect("text is UTF-8");
                    self.arrived.push_back(packet);
                }
                Line::Polling(poller) => {
                    let answer = poller.poll().await;
                    if answer.status != 200 {
                        return None;
                    }
                    self.arrived.extend(split(&answer));
                }
            }
        }
    }

    /// The next event: its name and arguments.
    ///
    /// # Panics
    /// Where the next packet is none.
    pub async fn event(&mut self) -> (String, Vec<Value>) {
        let packet = if self.events.is_empty() {
            self.packet().await.expect("an event")
        } else {
            self.events.remove(0)
        };
        read_event(&packet)
    }

    /// Sends an event and gives what it is answered; events that come before stay for later.
    ///
    /// # Panics
    /// Where the connection ends, or the answer is no single value.
    pub async fn call(&mut self, name: &str, arguments: &[Value]) -> Value {
        let id = self.next_ack;
        self.next_ack += 1;
        self.send(&event_packet(name, arguments, &id.to_string()))
            .await;
        let begin = format!("43{id}");
        loop {
            let packet = self.packet().await.expect("an ack");
            if let Some(data) = packet.strip_prefix(&begin) {
                let mut data = serde_json::from_str::<Vec<Value>>(data).expect("an array");
                assert_eq!(data.len(), 1, "{packet}");
                return data.remove(0);
            }
            self.events.push(packet);
        }
    }

    /// Sends an event that asks for no answer.
    pub async fn emit(&mut self, name: &str, arguments: &[Value]) {
        self.send(&event_packet(name, arguments, "")).await;
    }

    /// Joins a channel.
    ///
    /// # Panics
    /// Where that is refused.
    pub async fn join(&mut self, channel: &str) {
        let answer = self.call("join_channel", &[json!(channel)]).await;
        assert_eq!(answer["success"], true, "{channel}: {answer}");
    }

    /// Reads on to the connection's end.
    pub async fn end(&mut self) {
        while self.packet().await.is_some() {}
    }

    /// Reads on to the end of a WebSocket, and gives the close frame's code.
    ///
    /// # Panics
    /// Where it polls.
    pub async fn close_code(&mut self) -> Option<u16> {
        match &mut self.line {
            Line::WebSocket(socket) => socket.close_code().await,
            Line::Polling(_) => panic!("polling has no close codes"),
        }
    }
}

/// The name and arguments of an event's packet.
///
/// # Panics
/// Where the packet is no event.
#[must_use]
pub fn read_event(packet: &str) -> (String, Vec<Value>) {
    let data = packet
        .strip_prefix("42")
        .unwrap_or_else(|| panic!("{packet}"));
    let mut data = serde_json::from_str::<Vec<Value>>(data).expect("an array");
    let name = data.remove(0);
    (name.as_str().expect("a name").to_owned(), data)
}

fn event_packet(name: &str, arguments: &[Value], ack: &str) -> String {
    let mut data = vec![json!(name)];
    data.extend_from_slice(arguments);
    format!("42{ack}{}", Value::from(data))
}
