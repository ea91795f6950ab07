//! A connection of Engine.IO that may break off, and Socket.IO's packets on it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::raw::{RawSocket, TEXT};
use crate::request::Request;

/// Between the packets of one body.
const SEPARATOR: char = '\u{1e}';
/// Longer than the server's pings are apart.
const SILENCE: Duration = Duration::from_secs(60);

/// What carries the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A WebSocket from the start.
    WebSocket,
    /// HTTP long-polling, with a TCP connection for each request.
    Polling,
}

/// A connection. Pings are answered while something is waited for.
#[derive(Debug)]
pub struct Engine {
    line: Line,
    arrived: VecDeque<String>,
    events: VecDeque<(String, Vec<Value>)>,
    next_ack: u32,
}

#[derive(Debug)]
enum Line {
    WebSocket(Box<RawSocket>),
    Polling { address: SocketAddr, path: String },
}

impl Engine {
    /// Opens a connection; `query` stands behind what every client sends.
    ///
    /// # Errors
    /// Where the network failed.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn open(address: SocketAddr, carrier: Carrier, query: &str) -> io::Result<Self> {
        let line = match carrier {
            Carrier::WebSocket => {
                let path = format!("/socket.io/?EIO=4&transport=websocket{query}");
                let socket = RawSocket::try_websocket(address, &path, SILENCE).await?;
                Line::WebSocket(Box::new(socket))
            }
            Carrier::Polling => Line::Polling {
                address,
                path: format!("/socket.io/?EIO=4&transport=polling{query}"),
            },
        };
        let mut engine = Self {
            line,
            arrived: VecDeque::new(),
            events: VecDeque::new(),
            next_ack: 0,
        };
        let open = engine.packet().await?;
        let open = open.strip_prefix('0').expect("a packet of type open");
        let open = serde_json::from_str::<Value>(open).expect("an object");
        if let Line::Polling { path, .. } = &mut engine.line {
            let sid = open["sid"].as_str().expect("a session id");
            *path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        }
        Ok(engine)
    }

    /// Sends the connect packet, and gives what the answer says: with a `sid` the client is in.
    ///
    /// # Errors
    /// Where the connection ended.
    pub async fn introduce(&mut self, auth: &Value) -> io::Result<Value> {
        self.send(&format!("40{auth}")).await?;
        let answer = self.packet().await?;
        let data = answer
            .strip_prefix("40")
            .or_else(|| answer.strip_prefix("44"))
            .unwrap_or_else(|| panic!("no answer to a connect packet: {answer}"));
        Ok(serde_json::from_str(data).expect("an object"))
    }

    /// Sends an event and gives its ack; events that come before it stay for later.
    ///
    /// # Errors
    /// Where the connection ended.
    pub async fn call(&mut self, name: &str, argument: &Value) -> io::Result<Value> {
        let id = self.next_ack;
        self.next_ack += 1;
        self.send(&format!("42{id}{}", json!([name, argument])))
            .await?;
        let ack = format!("43{id}[");
        loop {
            let packet = self.packet().await?;
            if packet.starts_with(&ack) {
                let data = &packet[ack.len() - 1..];
                let mut data = serde_json::from_str::<Vec<Value>>(data).expect("an array");
                assert_eq!(data.len(), 1, "{packet}");
                return Ok(data.remove(0));
            }
            self.events.push_back(event(&packet));
        }
    }

    /// The next event: its name and its arguments.
    ///
    /// # Errors
    /// Where the connection ended.
    pub async fn event(&mut self) -> io::Result<(String, Vec<Value>)> {
        match self.events.pop_front() {
            Some(event) => Ok(event),
            None => Ok(event(&self.packet().await?)),
        }
    }

    /// Whether messages have arrived that nobody has taken.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.arrived.iter().any(|packet| packet.starts_with('4'))
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// Where a request of polling failed. A WebSocket's end shows when it is read.
    pub async fn send(&mut self, packet: &str) -> io::Result<()> {
        match &mut self.line {
            Line::WebSocket(socket) => {
                socket.send_text(packet).await;
                Ok(())
            }
            Line::Polling { address, path } => {
                let request = Request::post(*address, path, packet)
                    .header("Content-Type", "text/plain;charset=UTF-8");
                let mut response = request.send().await?;
                let answer = response.rest().await?;
                match response.status {
                    200 => Ok(()),
                    _ => Err(io::Error::other(format!("{answer:?}"))),
                }
            }
        }
    }

    /// The next packet that is no ping. Not cancel safe.
    ///
    /// # Errors
    /// Where the connection ended.
    pub async fn packet(&mut self) -> io::Result<String> {
        loop {
            while let Some(packet) = self.arrived.pop_front() {
                match packet.as_str() {
                    "2" => self.send("3").await?,
                    "1" | "6" => return Err(io::Error::other("closed by the server")),
                    _ => return Ok(packet),
                }
            }
            match &mut self.line {
                Line::WebSocket(socket) => {
                    let frame = socket.frame().await.filter(|frame| frame.first == TEXT);
                    let frame = frame.ok_or(io::ErrorKind::UnexpectedEof)?;
                    let packet = String::from_utf8(frame.payload).expect("text is UTF-8");
                    self.arrived.push_back(packet);
                }
                Line::Polling { address, path } => {
                    let mut response = Request::get(*address, path).send().await?;
                    let body = response.rest().await?;
                    let body = String::from_utf8(body.to_vec()).expect("packets are UTF-8");
                    if response.status != 200 {
                        return Err(io::Error::other(body));
                    }
                    self.arrived
                        .extend(body.split(SEPARATOR).map(str::to_owned));
                }
            }
        }
    }
}

fn event(packet: &str) -> (String, Vec<Value>) {
    let data = packet.strip_prefix("42");
    let data = data.unwrap_or_else(|| panic!("no event: {packet}"));
    let mut data = serde_json::from_str::<Vec<Value>>(data).expect("an array");
    let name = data.remove(0);
    (name.as_str().expect("a name").to_owned(), data)
}
