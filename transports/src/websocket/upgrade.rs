//! From an HTTP request to a WebSocket.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use fanfare::config::Compression;
use fanfare::{Error, Framing, Session, Transport};
use fastwebsockets::upgrade::{UpgradeFut, is_upgrade_request};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use hyper::ext::Protocol;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tracing::debug;

use super::deflate::{self, DeflateFraming};
use super::{WebSocket, WebSocketFraming};
use crate::Body;
use crate::cut::{self, Lifeline};
use crate::server::opening::Opened;

/// The subprotocol that Centrifuge clients may ask for; the others are not spoken.
const SUBPROTOCOL: &str = "centrifuge-json";
/// The version of RFC 6455.
const VERSION: &[u8] = b"13";

/// Whether a request asks for a WebSocket, over HTTP/1.1 (RFC 6455 section 4.1) or HTTP/2 (RFC 8441).
pub(crate) fn is_upgrade<B>(request: &Request<B>) -> bool {
    is_upgrade_request(request) || is_extended_connect(request)
}

fn is_extended_connect<B>(request: &Request<B>) -> bool {
    let protocol = request.extensions().get::<Protocol>();
    request.method() == Method::CONNECT
        && protocol.is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"))
}

/// The answer that turns the request's connection, or stream, into a WebSocket, which is served once
/// the answer has been sent. None where the request is no valid handshake.
pub(crate) fn upgrade<B>(
    request: &mut Request<B>,
    framings: &Framings,
    max_message: usize,
    session: impl FnOnce(Arc<dyn Framing>) -> Result<Session, Error>,
) -> Option<Result<Response<Body>, Error>> {
    let handshake = Handshake::read(request, framings)?;
    let deflates = handshake.deflates();
    let session = match session(framings.of(deflates)) {
        Ok(session) => session,
        Err(refusal) => return Some(Err(refusal)),
    };
    let asks_for_json = asks_for_json(request.headers());
    let (mut response, upgrading) = handshake.grant();
    tokio::spawn(serve(upgrading, session, max_message, deflates));
    if asks_for_json {
        let headers = response.headers_mut();
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    Some(Ok(response))
}

/// How messages lie on WebSockets.
#[derive(Clone, Debug)]
pub(crate) struct Framings {
    plain: Arc<WebSocketFraming>,
    /// None where nothing is compressed.
    deflate: Option<Arc<DeflateFraming>>,
}

impl Framings {
    pub(crate) fn new(config: &Compression) -> Self {
        Self {
            plain: Arc::new(WebSocketFraming),
            deflate: config
                .enabled
                .then(|| Arc::new(DeflateFraming::new(config))),
        }
    }

    /// That of a connection that agreed on permessage-deflate or did not.
    pub(crate) fn of(&self, deflates: bool) -> Arc<dyn Framing> {
        match &self.deflate {
            Some(deflate) if deflates => deflate.clone(),
            _ => self.plain.clone(),
        }
    }
}

/// A valid handshake that has not been answered.
pub(crate) struct Handshake {
    upgrade: Upgrade,
    /// The extensions of the answer.
    extensions: Option<HeaderValue>,
}

enum Upgrade {
    Connection(Response<()>, UpgradeFut),
    Stream(OnUpgrade),
}

/// A connection, or stream, on its way to become a WebSocket.
pub(crate) enum Upgrading {
    Connection(UpgradeFut),
    /// The lifeline is for what hyper could not write.
    Stream(OnUpgrade, Lifeline),
}

/// What a WebSocket lies on.
pub(crate) enum Socket {
    /// A bare TCP stream, and what had been read behind the handshake.
    Tcp(TcpStream, Bytes),
    /// TLS, or a stream of HTTP/2 with its lifeline.
    Stream(TokioIo<Upgraded>, Option<Lifeline>),
}

impl Handshake {
    /// None where the request is no valid one.
    pub(crate) fn read<B>(request: &mut Request<B>, framings: &Framings) -> Option<Self> {
        let upgrade = Upgrade::read(request)?;
        let may_deflate = framings.deflate.is_some();
        let extensions = may_deflate.then(|| deflate::accept(request.headers()));
        Some(Self {
            upgrade,
            extensions: extensions.flatten(),
        })
    }

    /// Whether it agrees on permessage-deflate.
    pub(crate) const fn deflates(&self) -> bool {
        self.extensions.is_some()
    }

    /// The answer. To be called while the request is being answered.
    pub(crate) fn grant(self) -> (Response<Body>, Upgrading) {
        let (mut response, upgrading) = match self.upgrade {
            Upgrade::Connection(response, upgraded) => (
                response.map(|()| Body::empty()),
                Upgrading::Connection(upgraded),
            ),
            Upgrade::Stream(upgraded) => (
                Response::default(),
                Upgrading::Stream(upgraded, cut::lifeline()),
            ),
        };
        if let Some(extensions) = self.extensions {
            let headers = response.headers_mut();
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, extensions);
        }
        (response, upgrading)
    }
}

impl Upgrade {
    fn read<B>(request: &mut Request<B>) -> Option<Self> {
        if !is_extended_connect(request) {
            let (response, upgraded) = fastwebsockets::upgrade::upgrade(request).ok()?;
            return Some(Self::Connection(response.map(drop), upgraded));
        }
        let version = request.headers().get(header::SEC_WEBSOCKET_VERSION)?;
        (version.as_bytes() == VERSION).then(|| Self::Stream(hyper::upgrade::on(request)))
    }
}

impl Upgrading {
    /// Waits until the answer has been sent; none where the client went away before.
    pub(crate) async fn socket(self) -> Option<Socket> {
        match self {
            Self::Connection(upgraded) => match upgraded.await {
                Ok(socket) => Some(match bare_tcp(socket.into_inner().into_inner()) {
                    Ok((stream, early)) => Socket::Tcp(stream, early),
                    Err(upgraded) => Socket::Stream(TokioIo::new(upgraded), None),
                }),
                Err(error) => gone(&error),
            },
            Self::Stream(upgraded, lifeline) => match upgraded.await {
                Ok(upgraded) => Some(Socket::Stream(TokioIo::new(upgraded), Some(lifeline))),
                Err(error) => gone(&error),
            },
        }
    }
}

fn asks_for_json(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim() == SUBPROTOCOL)
}

async fn serve(upgrading: Upgrading, session: Session, max_message: usize, deflates: bool) {
    match upgrading.socket().await {
        Some(Socket::Tcp(stream, early)) => {
            // As it is, not inside another future, which would hold it twice: before and while it
            // is polled. And without the server's read buffer.
            let socket = WebSocket::new(stream, &early, max_message).with_deflate(deflates);
            tokio::spawn(socket.serve_lent(session));
        }
        Some(Socket::Stream(stream, lifeline)) => {
            let socket = WebSocket::new(stream, &[], max_message).with_deflate(deflates);
            Box::pin(socket.serve(session)).await;
            drop(lifeline);
        }
        None => {}
    }
}

fn gone<T>(error: &impl Display) -> Option<T> {
    debug!(%error, "the connection went away during the handshake");
    None
}

/// The TCP stream under an upgraded connection, and what had been read from it, if there is nothing
/// (TLS) in between. Segments are sent at once from here on.
fn bare_tcp(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    let upgraded = match upgraded.downcast::<TokioIo<Opened>>() {
        Ok(parts) => {
            let (stream, unread) = parts.io.into_inner().into_parts();
            let early = if unread.is_empty() {
                parts.read_buf
            } else {
                [unread, parts.read_buf].concat().into()
            };
            return Ok((stream, early));
        }
        Err(upgraded) => upgraded,
    };
    // Servers that are not ours.
    let (stream, early) = match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => (parts.io.into_inner(), parts.read_buf),
        Err(upgraded) => {
            let parts = upgraded.downcast::<TokioIo<TcpStream>>()?;
            (parts.io.into_inner(), parts.read_buf)
        }
    };
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY");
    }
    Ok((stream, early))
}
