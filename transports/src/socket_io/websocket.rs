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
pub(super) async fn serve(upgrading: Upgrading, engine: Engine, open: String, max_message: usize) {
    let Some(socket) = upgrading.socket().await else {
        return;
    };
    engine.send(open.as_bytes());
    match socket {
        Socket::Tcp(stream, early) => {
            let socket = WebSocket::new(stream, &early, max_message);
            tokio::spawn(socket.serve_lent_to(engine));
        }
        Socket::Stream(stream, lifeline) => {
            let socket = WebSocket::new(stream, &[], max_message);
            Box::pin(socket.serve_to(engine)).await;
            drop(lifeline);
        }
    }
}

/// Serves a WebSocket to which the client of a polling session may move. Polling goes on where it
/// does not, `within` this time.
pub(super) async fn probe(
    upgrading: Upgrading,
    handle: Arc<Handle>,
    framing: Arc<WebSocketFraming>,
    max_message: usize,
    within: Duration,
) {
    let Some(socket) = upgrading.socket().await else {
        return;
    };
    let probing = Probing {
        handle,
        max_message,
        until: Instant::now() + within,
    };
    match socket {
        Socket::Tcp(mut stream, early) => {
            if let Some((engine, early)) = probing.run(&mut stream, early, framing).await {
                let socket = WebSocket::new(stream, &early, max_message);
                tokio::spawn(socket.serve_lent_to(engine));
            }
        }
        Socket::Stream(mut stream, lifeline) => {
            if let Some((engine, early)) = probing.run(&mut stream, Bytes::new(), framing).await {
                let socket = WebSocket::new(stream, &early, max_message);
                Box::pin(socket.serve_to(engine)).await;
            }
            drop(lifeline);
        }
    }
}

/// A WebSocket that is being probed.
struct Probing {
    handle: Arc<Handle>,
    max_message: usize,
    until: Instant,
}

/// How probing ended.
enum Probed {
    /// The client moves here. Behind its word came these bytes.
    Upgraded(Upgraded, Bytes),
    /// The client stays where it is.
    Stays(Option<ProtocolError>),
}

impl Probing {
    /// The session, moved here, with what was read behind the client's word; none where it stays.
    async fn run(
        self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        early: Bytes,
        framing: Arc<WebSocketFraming>,
    ) -> Option<(Engine, Bytes)> {
        let turn = self.handle.begin_probe();
        let probed = if turn.is_some() {
            let probed = tokio::select! {
                probed = timeout_at(self.until, self.listen(stream, early)) => probed,
                // The session has ended, or has moved to another WebSocket.
                () = self.handle.gone() => Ok(Ok(Probed::Stays(None))),
            };
            match probed {
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
        match probed {
            Probed::Upgraded(upgraded, early) => {
                let Upgraded {
                    mut engine,
                    untaken,
                } = upgraded;
                engine.upgrade(framing.clone());
                let untaken = reframe(
                    &untaken.into_iter().flatten().collect::<Vec<_>>(),
                    &*framing,
                );
                let written = timeout(WRITE_WITHIN, stream.write_all(&untaken)).await;
                matches!(written, Ok(Ok(()))).then_some((engine, early))
            }
            Probed::Stays(error) => {
                if turn.is_some() {
                    self.handle.send(Request::Probe(false)).await;
                }
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
        let mut decoder = Decoder::new(self.max_message);
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
                            return Ok(self.take_over(input.freeze()).await);
                        }
                        _ => return Ok(Probed::Stays(None)),
                    },
                    Message::Ping(payload) => stream.write_all(&pong_frame(&payload)).await?,
                    Message::Pong(_) => {}
                    Message::Binary(_) | Message::Close(_) => return Ok(Probed::Stays(None)),
                }
            }
            input.reserve(READ_BYTES);
            if stream.read_buf(&mut input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn take_over(&self, early: Bytes) -> Probed {
        let (upgrade, upgraded) = oneshot::channel();
        self.handle.send(Request::Upgrade(upgrade)).await;
        match upgraded.await {
            Ok(upgraded) => Probed::Upgraded(upgraded, early),
            Err(_) => Probed::Stays(None),
        }
    }
}
