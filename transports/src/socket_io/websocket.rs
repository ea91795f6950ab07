//! Socket.IO on a WebSocket, from the start or after polling.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use fanfare::Framing;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::engine::Engine;
use super::engine_packet::EnginePacket;
use super::framing::reframe;
use super::polling::{Request, Upgraded};
use super::sessions::Handle;
use crate::websocket::close::NORMAL;
use crate::websocket::frame::{Decoder, Message, ProtocolError, close_frame, pong_frame};
use crate::websocket::{Socket, Upgrading, WebSocket, WebSocketFraming};

/// The payload of the ping that asks whether a WebSocket works.
const PROBE: &str = "probe";
/// What a probing client can have sent: a few small packets.
const READ_BYTES: usize = 512;
/// How long a socket may take what was left of polling.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

/// Serves a connection that begins on the WebSocket, with the packet that opens it.
pub(super) async fn serve(
    upgrading: Upgrading,
    engine: Engine,
    open: String,
    max_message: usize,
    deflates: bool,
) {
    let Some(socket) = upgrading.socket().await else {
        return;
    };
    engine.send(open.as_bytes());
    match socket {
        Socket::Tcp(stream, early) => {
            let socket = WebSocket::new(stream, &early, max_message).with_deflate(deflates);
            tokio::spawn(socket.serve_lent_to(engine));
        }
        Socket::Stream(stream, lifeline) => {
            let socket = WebSocket::new(stream, &[], max_message).with_deflate(deflates);
            Box::pin(socket.serve_to(engine)).await;
            drop(lifeline);
        }
    }
}

/// A WebSocket to which the client of a polling session may move.
pub(super) struct Probing {
    pub(super) handle: Arc<Handle>,
    /// What the session is framed in if it moves here.
    pub(super) framing: Arc<dyn Framing>,
    /// Whether it is compressed, both ways.
    pub(super) deflates: bool,
    pub(super) max_message: usize,
    /// How long the client has to make up its mind.
    pub(super) until: Instant,
}

/// How probing ended.
enum Probed {
    /// The client moves here. Behind its word came these bytes.
    Moves(Bytes),
    /// The client stays where it is.
    Stays(Option<ProtocolError>),
}

impl Probing {
    /// Serves the WebSocket if the client moves here. Polling goes on where it does not.
    pub(super) async fn serve(self, upgrading: Upgrading) {
        let Some(socket) = upgrading.socket().await else {
            return;
        };
        let (max_message, deflates) = (self.max_message, self.deflates);
        match socket {
            Socket::Tcp(mut stream, early) => {
                if let Some((engine, early)) = self.run(&mut stream, early).await {
                    let socket = WebSocket::new(stream, &early, max_message).with_deflate(deflates);
                    tokio::spawn(socket.serve_lent_to(engine));
                }
            }
            Socket::Stream(mut stream, lifeline) => {
                if let Some((engine, early)) = self.run(&mut stream, Bytes::new()).await {
                    let socket = WebSocket::new(stream, &early, max_message).with_deflate(deflates);
                    Box::pin(socket.serve_to(engine)).await;
                }
                drop(lifeline);
            }
        }
    }

    /// The session, moved here, with what was read behind the client's word; none where it stays.
    async fn run(
        self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        early: Bytes,
    ) -> Option<(Engine, Bytes)> {
        let turn = self.handle.begin_probe();
        let probed = if turn.is_some() {
            match timeout_at(self.until, self.listen(stream, early)).await {
                Ok(Ok(probed)) => probed,
                Ok(Err(error)) => {
                    debug!(%error, "the probe broke off");
                    Probed::Stays(None)
                }
                Err(_) => Probed::Stays(None),
            }
        } else {
            Probed::Stays(None)
        };
        // Not before: whoever stops waiting for the session now loses it.
        let probed = match probed {
            Probed::Moves(early) => self.take_over().await.map(|upgraded| (upgraded, early)),
            Probed::Stays(error) => Err(error),
        };
        match probed {
            Ok((upgraded, early)) => {
                let Upgraded {
                    mut engine,
                    untaken,
                } = upgraded;
                engine.upgrade(self.framing.clone());
                let untaken = reframe(
                    &untaken.into_iter().flatten().collect::<Vec<_>>(),
                    &*self.framing,
                );
                let written = timeout(WRITE_WITHIN, stream.write_all(&untaken)).await;
                matches!(written, Ok(Ok(()))).then_some((engine, early))
            }
            Err(error) => {
                if turn.is_some() {
                    self.handle.send(Request::Probe(false)).await;
                }
                // Before the client hears of it: its next probe may come at once.
                drop(turn);
                let frame = match error {
                    Some(error) => close_frame(error.close_code(), &error.to_string()),
                    None => close_frame(NORMAL, ""),
                };
                let closing = async {
                    stream.write_all(&frame).await?;
                    stream.shutdown().await
                };
                let _ = timeout(WRITE_WITHIN, closing).await;
                None
            }
        }
    }

    async fn listen(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        early: Bytes,
    ) -> io::Result<Probed> {
        let mut decoder = Decoder::new(self.max_message).with_deflate(self.deflates);
        let mut input = BytesMut::from(early);
        let mut is_probed = false;
        loop {
            loop {
                let mut rest = &mut input[..];
                let before = rest.len();
                let message = match decoder.decode(&mut rest) {
                    Ok(message) => message.map(Message::into_owned),
                    Err(error) => return Ok(Probed::Stays(Some(error))),
                };
                let taken = before - rest.len();
                input.advance(taken);
                let Some(message) = message else { break };
                match message {
                    Message::Text(text) => match EnginePacket::decode(&text) {
                        Ok(EnginePacket::Ping(PROBE)) => {
                            let mut pong = BytesMut::new();
                            WebSocketFraming.frame(b"3probe", &mut pong);
                            stream.write_all(&pong).await?;
                            stream.flush().await?;
                            is_probed = true;
                            self.handle.send(Request::Probe(true)).await;
                        }
                        Ok(EnginePacket::Upgrade) if is_probed => {
                            return Ok(Probed::Moves(input.freeze()));
                        }
                        _ => return Ok(Probed::Stays(None)),
                    },
                    Message::Ping(payload) => stream.write_all(&pong_frame(&payload)).await?,
                    Message::Pong(_) => {}
                    Message::Binary(_) | Message::Close(_) => return Ok(Probed::Stays(None)),
                }
            }
            input.reserve(READ_BYTES);
            tokio::select! {
                count = stream.read_buf(&mut input) => if count? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                },
                // The session has ended, or has moved to another WebSocket.
                () = self.handle.gone() => return Ok(Probed::Stays(None)),
            }
        }
    }

    /// The session, as soon as nothing of it is under way any more; an error where it has ended.
    async fn take_over(&self) -> Result<Upgraded, Option<ProtocolError>> {
        let (upgrade, upgraded) = oneshot::channel();
        self.handle.send(Request::Upgrade(upgrade)).await;
        upgraded.await.map_err(|_| None)
    }
}
