//! A client of Socket.IO.

use bytes::Bytes;
use fanfare::Node;
use fanfare::testing::transport::{Client, Connecting, End, Received};
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Served, Upgraded, query};

/// What socket.io-client does on a WebSocket, with its connection state recovery.
pub(super) struct SocketIoClient {
    socket: FragmentCollector<Upgraded>,
    pid: String,
    cursor: String,
}

impl SocketIoClient {
    /// The next packet of Socket.IO. Pings are answered.
    async fn packet(&mut self) -> Result<String, End> {
        loop {
            let frame = self.socket.read_frame().await.map_err(|_| End::Lost)?;
            if frame.opcode == OpCode::Close {
                return Err(End::Told);
            }
            let packet = String::from_utf8(frame.payload.to_vec()).unwrap();
            match packet.as_bytes() {
                b"2" => self.send("3".to_owned()).await?,
                b"1" | b"41" => return Err(End::Told),
                _ => return Ok(packet),
            }
        }
    }

    async fn send(&mut self, packet: String) -> Result<(), End> {
        let frame = Frame::text(Payload::Owned(packet.into_bytes()));
        self.socket.write_frame(frame).await.map_err(|_| End::Lost)
    }
}

impl Client for SocketIoClient {
    type Server = Served;
    type Resume = (String, String);

    async fn serve(node: Node) -> Served {
        Served::new(node).await
    }

    async fn connect(
        server: &Served,
        connecting: Connecting<'_, (String, String)>,
    ) -> Result<Self, End> {
        let channels = query(connecting.channels);
        let path = format!("/socket.io/?EIO=4&transport=websocket&recover=1&{channels}");
        let mut client = Self {
            socket: FragmentCollector::new(server.websocket(&path).await?),
            pid: String::new(),
            cursor: String::new(),
        };
        assert!(client.packet().await?.starts_with('0'));
        let mut auth = json!({"token": connecting.token});
        if let Some((pid, cursor)) = connecting.resume {
            (client.pid, client.cursor) = (pid.clone(), cursor.clone());
            (auth["pid"], auth["offset"]) = (json!(pid), json!(cursor));
        }
        client.send(format!("40{auth}")).await?;
        let connected = client.packet().await?;
        let connected = connected.strip_prefix("40").expect("it may connect");
        let connected = serde_json::from_str::<Value>(connected).unwrap();
        client.pid = connected["pid"].as_str().unwrap().to_owned();
        while client.cursor.is_empty() {
            let packet = client.packet().await?;
            let cursor = packet.strip_prefix(r#"42["cursor",""#);
            let cursor = cursor.and_then(|packet| packet.strip_suffix(r#""]"#));
            client.cursor = cursor.expect("where it stands").to_owned();
        }
        Ok(client)
    }

    async fn next(&mut self) -> Result<Received, End> {
        loop {
            let packet = self.packet().await?;
            let event = packet.strip_prefix("42").expect("an event");
            let event = serde_json::from_str::<Vec<Box<RawValue>>>(event).unwrap();
            let text = |at: usize| serde_json::from_str::<String>(event.get(at)?.get()).ok();
            let is_cursor = text(0).as_deref() == Some("cursor");
            if let Some(cursor) = text(if is_cursor { 1 } else { 2 }) {
                self.cursor = cursor;
            }
            if !is_cursor {
                return Ok(Received {
                    channel: None,
                    payload: Bytes::copy_from_slice(event[1].get().as_bytes()),
                });
            }
        }
    }

    fn resume(&self) -> Option<(String, String)> {
        Some((self.pid.clone(), self.cursor.clone()))
    }
}
