//! A client of the Centrifuge dialect that keeps a record of everything that arrives.

mod record;
mod wire;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{
    Frame, OpCode, Payload, Role, WebSocket, WebSocketRead, WebSocketWrite, handshake,
};
use http::{Request, header};
use http_body_util::Empty;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

pub use self::record::{End, Message, Push, Record, offsets};
use self::record::{Recording, Took};
pub use self::wire::{Connected, History, Info, Position, Publication, Refused, Subscribed};
use crate::server::Server;
use crate::token::Token;
use crate::wait::SOON;

type Socket = TokioIo<Upgraded>;

/// A connection to a server. Ends with the value, without a goodbye.
#[derive(Debug)]
pub struct Client {
    outgoing: mpsc::UnboundedSender<Frame<'static>>,
    recording: Arc<Recording>,
    next_id: AtomicU32,
    /// How long a reply may take.
    patience: Duration,
    tasks: [AbortHandle; 2],
}

/// A connection that is about to be opened.
#[derive(Clone, Debug)]
pub struct Opening {
    address: SocketAddr,
    path: String,
    headers: Vec<(String, String)>,
    pongs: bool,
    patience: Duration,
}

impl Opening {
    /// Asks for another path than `/ws`, or one with a query.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Adds a header to the handshake.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves the server's pings without an answer.
    #[must_use]
    pub fn without_pongs(mut self) -> Self {
        self.pongs = false;
        self
    }

    /// Sets how long a reply may take, in place of [`SOON`].
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Opens the WebSocket. Who the client is has not been said then.
    ///
    /// # Panics
    /// Where the server refuses, or is not there.
    pub async fn open(self) -> Client {
        self.try_open()
            .await
            .expect("the server grants the WebSocket")
    }

    /// Opens the WebSocket.
    ///
    /// # Errors
    /// Why that did not work.
    pub async fn try_open(self) -> Result<Client, String> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|error| error.to_string())?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        self.try_open_on(stream).await
    }

    /// Opens the WebSocket on a connection that is there already, one of TLS for instance.
    ///
    /// # Errors
    /// Why that did not work.
    pub async fn try_open_on<S>(self, stream: S) -> Result<Client, String>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut request = Request::builder()
            .uri(&self.path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, handshake::generate_key());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let executor = TokioExecutor::new();
        let opening = Box::pin(handshake::client(&executor, request, stream));
        let (socket, _) = opening.await.map_err(|error| error.to_string())?;
        Ok(Client::of(socket, self.pongs, self.patience))
    }
}

impl Client {
    /// A client on a stream of HTTP/2 that has been granted as WebSocket.
    #[must_use]
    pub fn on_stream(upgraded: Upgraded) -> Self {
        let socket = WebSocket::after_handshake(TokioIo::new(upgraded), Role::Client);
        Self::of(socket, true, SOON)
    }

    fn of(socket: WebSocket<Socket>, pongs: bool, patience: Duration) -> Self {
        let (read, write) = socket.split(tokio::io::split);
        let (outgoing, queue) = mpsc::unbounded_channel();
        let recording = Arc::<Recording>::default();
        let reading = tokio::spawn(read_all(read, recording.clone(), outgoing.clone(), pongs));
        let writing = tokio::spawn(write_all(write, queue));
        let tasks = [reading.abort_handle(), writing.abort_handle()];
        Self {
            outgoing,
            recording,
            next_id: AtomicU32::new(1),
            patience,
            tasks,
        }
    }

    /// Begins to open a connection to the server, or proxy, at `address`.
    #[must_use]
    pub fn to(address: SocketAddr) -> Opening {
        Opening {
            address,
            path: "/ws".to_owned(),
            headers: Vec::new(),
            pongs: true,
            patience: SOON,
        }
    }

    /// A connection of the user whom `token` names.
    ///
    /// # Panics
    /// Where the server does not let them in.
    pub async fn connect(server: &Server, token: &Token) -> Self {
        let client = Self::to(server.address()).open().await;
        client
            .introduce(&token.sign())
            .await
            .expect("the user is let in");
        client
    }

    /// A connection of the user whom `token` names, subscribed to a channel.
    ///
    /// # Panics
    /// Where the server does not let them in.
    pub async fn subscribed(server: &Server, token: &Token, channel: &str) -> Self {
        let client = Self::connect(server, token).await;
        client
            .subscribe(channel)
            .await
            .expect("the channel is open to the user");
        client
    }

    /// Says who the client is.
    ///
    /// # Errors
    /// The refusal.
    pub async fn introduce(&self, token: &str) -> Result<Connected, Refused> {
        self.connect_with(json!({ "token": token })).await
    }

    /// Sends the connect command with any fields.
    ///
    /// # Errors
    /// The refusal.
    pub async fn connect_with(&self, fields: Value) -> Result<Connected, Refused> {
        self.command("connect", fields)
            .await
            .map(|reply| wire::read(&reply))
    }

    /// Subscribes to a channel from now on.
    ///
    /// # Errors
    /// The refusal.
    pub async fn subscribe(&self, channel: &str) -> Result<Subscribed, Refused> {
        self.command("subscribe", json!({ "channel": channel }))
            .await
            .map(|reply| wire::read(&reply))
    }

    /// Subscribes to a channel and asks for what came after `position`.
    ///
    /// # Errors
    /// The refusal.
    pub async fn recover(&self, channel: &str, position: &Position) -> Result<Subscribed, Refused> {
        let fields = json!({
            "channel": channel, "recover": true, "epoch": position.epoch, "offset": position.offset,
        });
        self.command("subscribe", fields)
            .await
            .map(|reply| wire::read(&reply))
    }

    /// Leaves a channel.
    ///
    /// # Errors
    /// The refusal.
    pub async fn unsubscribe(&self, channel: &str) -> Result<(), Refused> {
        self.command("unsubscribe", json!({ "channel": channel }))
            .await
            .map(|_| ())
    }

    /// Publishes `{event, data}`, or `{event, channel, data}`, to a channel.
    ///
    /// # Errors
    /// The refusal.
    pub async fn publish(&self, channel: &str, data: &Value) -> Result<(), Refused> {
        self.command("publish", json!({ "channel": channel, "data": data }))
            .await
            .map(|_| ())
    }

    /// Reads a channel's history; `fields` are those of the command beside `channel`.
    ///
    /// # Errors
    /// The refusal.
    pub async fn history(&self, channel: &str, mut fields: Value) -> Result<History, Refused> {
        fields["channel"] = channel.into();
        self.command("history", fields)
            .await
            .map(|reply| wire::read(&reply))
    }

    /// Brings a newer token, and gives the seconds that it has left.
    ///
    /// # Errors
    /// The refusal.
    pub async fn refresh(&self, token: &str) -> Result<u32, Refused> {
        let reply = self.command("refresh", json!({ "token": token })).await?;
        let reply = serde_json::from_str::<Value>(reply.get()).expect("a reply is JSON");
        Ok(reply["ttl"]
            .as_u64()
            .and_then(|ttl| ttl.try_into().ok())
            .expect("a token that ends has a ttl"))
    }

    /// Makes sure that everything the server queued for this client before has arrived.
    ///
    /// # Panics
    /// Where the connection has ended.
    pub async fn settle(&self) {
        self.command("ping", json!({}))
            .await
            .expect("the connection stays");
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Errors
    /// The refusal: an error in reply, or the connection's end.
    pub async fn command(&self, name: &str, fields: Value) -> Result<Box<RawValue>, Refused> {
        let id = self.send(name, &fields);
        self.reply(id).await
    }

    /// Sends a command and gives the number of its reply.
    pub fn send(&self, name: &str, fields: &Value) -> u32 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.send_text(&json!({ "id": id, name: fields }).to_string());
        id
    }

    /// Sends a message as it is.
    pub fn send_text(&self, text: &str) {
        let payload = Payload::Owned(text.as_bytes().to_vec());
        // Where the connection has ended, its record says so.
        let _ = self.outgoing.send(Frame::text(payload));
    }

    /// Waits for the reply of this number.
    ///
    /// # Errors
    /// The refusal: an error in reply, or the connection's end.
    pub async fn reply(&self, id: u32) -> Result<Box<RawValue>, Refused> {
        self.recording
            .wait(&format!("reply {id}"), self.patience, |record| {
                record.reply(id)
            })
            .await
    }

    /// Waits until `look` finds something in the record.
    ///
    /// # Panics
    /// With `what` was waited for, where it did not arrive `within` that time.
    pub async fn wait<T>(
        &self,
        what: &str,
        within: Duration,
        look: impl FnMut(&Record) -> Option<T>,
    ) -> T {
        self.recording.wait(what, within, look).await
    }

    /// Waits until `count` events have been pushed in all, and gives all there are.
    pub async fn pushes(&self, count: usize, within: Duration) -> Vec<Push> {
        let what = format!("{count} events");
        self.wait(&what, within, |record| {
            (record.pushes.len() >= count).then(|| record.pushes.clone())
        })
        .await
    }

    /// What has been pushed so far.
    #[must_use]
    pub fn pushed(&self) -> Vec<Push> {
        self.recording.look(|record| record.pushes.clone())
    }

    /// Waits for the connection's end.
    pub async fn end(&self, within: Duration) -> End {
        self.wait("the connection's end", within, |record| record.end.clone())
            .await
    }

    /// Waits for the close frame that ends the connection, and gives its code.
    ///
    /// # Panics
    /// Where the connection ended without one.
    pub async fn close_code(&self, within: Duration) -> u16 {
        let end = self.end(within).await;
        end.code
            .unwrap_or_else(|| panic!("ended without a close frame: {}", end.reason))
    }

    /// Whether the connection is still there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.recording.look(|record| record.end.is_none())
    }

    /// Says goodbye and waits until the server has answered.
    pub async fn close(self) {
        let _ = self.outgoing.send(Frame::close(1000, b""));
        self.end(SOON).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn read_all(
    mut socket: WebSocketRead<ReadHalf<Socket>>,
    recording: Arc<Recording>,
    outgoing: mpsc::UnboundedSender<Frame<'static>>,
    pongs: bool,
) {
    let mut answer = |frame: Frame<'_>| {
        let frame = Frame::new(
            true,
            frame.opcode,
            None,
            Payload::Owned(frame.payload.to_vec()),
        );
        let _ = outgoing.send(frame);
        std::future::ready(Ok::<(), Infallible>(()))
    };
    loop {
        let frame = match socket.read_frame(&mut answer).await {
            Ok(frame) => frame,
            Err(error) => return recording.ended(None, &error.to_string()),
        };
        match frame.opcode {
            OpCode::Text if frame.fin => {
                let text = String::from_utf8(frame.payload.to_vec()).expect("text was checked");
                if recording.took(text) == Took::Ping && pongs {
                    let _ = outgoing.send(Frame::text(Payload::Borrowed(b"{}")));
                }
            }
            OpCode::Close => {
                let code = frame
                    .payload
                    .first_chunk()
                    .map(|bytes| u16::from_be_bytes(*bytes));
                let reason = String::from_utf8_lossy(frame.payload.get(2..).unwrap_or_default());
                return recording.ended(code, &reason);
            }
            OpCode::Pong => {}
            other => recording.fault(format!(
                "a frame that this server has no reason to send: {other:?}"
            )),
        }
    }
}

async fn write_all(
    mut socket: WebSocketWrite<WriteHalf<Socket>>,
    mut queue: mpsc::UnboundedReceiver<Frame<'static>>,
) {
    while let Some(frame) = queue.recv().await {
        let last = frame.opcode == OpCode::Close;
        if socket.write_frame(frame).await.is_err() || socket.flush().await.is_err() || last {
            return;
        }
    }
}
