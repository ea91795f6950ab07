//! A node that lets everyone in, and clients that speak the Centrifuge protocol without a socket.

#![allow(dead_code, reason = "each suite uses its part")]

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use fanfare::codec::centrifuge::Centrifuge;
use fanfare::{
    Action, AuthError, Authenticator, Authorizer, Batch, BoxFuture, Channel, Config, Disconnect,
    Error, Event, Framing, Handshake, Identity, Node, NodeBuilder, Opening, Outbound, Session,
};
use serde_json::{Value, json};

#[derive(Debug)]
pub(crate) struct Everyone;

impl Authenticator for Everyone {
    fn authenticate<'a>(
        &'a self,
        token: Option<&'a str>,
        _handshake: &'a Handshake,
    ) -> BoxFuture<'a, Result<Identity, AuthError>> {
        Box::pin(async move { Identity::new(token.ok_or(AuthError::Missing)?) })
    }
}

impl Authorizer for Everyone {
    fn authorize<'a>(
        &'a self,
        _identity: &'a Identity,
        _action: Action<'a>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Messages end with a zero byte.
#[derive(Debug)]
struct ZeroEnded;

impl Framing for ZeroEnded {
    fn name(&self) -> &'static str {
        "zero-ended"
    }

    fn frame(&self, message: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(message);
        out.extend_from_slice(&[0]);
    }
}

pub(crate) async fn node(config: Config) -> Node {
    builder(config).start().await.unwrap()
}

pub(crate) fn builder(config: Config) -> NodeBuilder {
    Node::builder()
        .config(config)
        .authenticator(Everyone)
        .authorizer(Everyone)
}

pub(crate) fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

pub(crate) fn event(channel_name: &str, number: u64) -> Event {
    Event::new(channel(channel_name), "e", number.to_string()).unwrap()
}

/// One connection. Its messages are read by whoever holds it; what it has not read waits.
pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) outbound: Outbound,
    batch: Batch,
    unread: BytesMut,
    next_id: u32,
}

/// One message: its lines.
pub(crate) type Message = Vec<Value>;

impl Client {
    pub(crate) fn open(node: &Node) -> Self {
        let session = node
            .open(Opening {
                transport: "test",
                codec: Arc::new(Centrifuge),
                framing: Arc::new(ZeroEnded),
                handshake: Handshake::default(),
                identity: None,
                channels: Vec::new(),
                own_channel: false,
                session: None,
            })
            .unwrap();
        let outbound = session.outbound();
        Self {
            session,
            outbound,
            batch: Batch::default(),
            unread: BytesMut::new(),
            next_id: 0,
        }
    }

    pub(crate) async fn connected(node: &Node, user: &str) -> Self {
        let mut client = Self::open(node);
        let reply = client.command(json!({"connect": {"token": user}})).await;
        assert!(reply.get("connect").is_some(), "{reply}");
        client
    }

    /// Sends a command and gives its reply; pushes before it are an error of the test.
    pub(crate) async fn command(&mut self, mut command: Value) -> Value {
        self.next_id += 1;
        command["id"] = self.next_id.into();
        self.session
            .receive(command.to_string().as_bytes())
            .await
            .unwrap();
        let message = self.message().await.unwrap();
        assert_eq!(message.len(), 1, "{message:?}");
        assert_eq!(message[0]["id"], self.next_id);
        message.into_iter().next().unwrap()
    }

    pub(crate) async fn subscribe(&mut self, channel: &str) -> Value {
        self.command(json!({"subscribe": {"channel": channel}}))
            .await["subscribe"]
            .clone()
    }

    /// The next message, or how the connection ended. Pings are answered.
    pub(crate) async fn message(&mut self) -> Result<Message, Disconnect> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == 0) {
                let message = self.unread.split_to(end + 1);
                if &message[..end] == b"{}" {
                    self.session.receive(b"{}").await?;
                    continue;
                }
                return Ok(lines(&message[..end]));
            }
            self.outbound.next_batch(&mut self.batch).await?;
            while self.batch.has_remaining() {
                let count = self.batch.chunk().len();
                self.unread.extend_from_slice(self.batch.chunk());
                self.batch.advance(count);
            }
        }
    }
}

fn lines(message: &[u8]) -> Message {
    message
        .split(|byte| *byte == b'\n')
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// The numbers of the events of [`event`] in a message.
pub(crate) fn numbers(message: &[Value]) -> Vec<u64> {
    message
        .iter()
        .filter_map(|line| line.pointer("/push/pub/data")?.as_u64())
        .collect()
}

/// The offsets of the publications in a message.
pub(crate) fn offsets(message: &[Value]) -> Vec<u64> {
    message
        .iter()
        .filter_map(|line| line.pointer("/push/pub/offset")?.as_u64())
        .collect()
}
