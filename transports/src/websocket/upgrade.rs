//! From an HTTP request to a WebSocket.

use std::fmt::Display;

use bytes::Bytes;
use fanfare::{Error, Session, Transport};
use fastwebsockets::upgrade::{UpgradeFut, is_upgrade_request};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use hyper::ext::Protocol;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tracing::debug;

use super::WebSocket;
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
    max_message: usize,
    session: impl FnOnce() -> Result<Session, Error>,
) -> Option<Result<Response<Body>, Error>> {
    let asks_for_json = asks_for_json(request.headers());
    let mut response = if is_extended_connect(request) {
        if request
            .headers()
            .get(header::SEC_WEBSOCKET_VERSION)?
            .as_bytes()
            != VERSION
        {
            return None;
        }
        let upgraded = hyper::upgrade::on(request);
        let session = match session() {
            Ok(session) => session,
            Err(refusal) => return Some(Err(refusal)),
        };
        let lifeline = cut::lifeline();
        tokio::spawn(serve_stream(upgraded, session, max_message, lifeline));
        Response::default()
    } else {
        let (response, upgraded) = fastwebsockets::upgrade::upgrade(request).ok()?;
        let session = match session() {
            Ok(session) => session,
            Err(refusal) => return Some(Err(refusal)),
        };
        tokio::spawn(serve_connection(upgraded, session, max_message));
        response.map(|_| Body::empty())
    };
    if asks_for_json {
        let headers = response.headers_mut();
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    Some(Ok(response))
}

fn asks_for_json(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim() == SUBPROTOCOL)
}

/// Serves what was a connection of HTTP/1.1.
async fn serve_connection(upgraded: UpgradeFut, session: Session, max_message: usize) {
    let upgraded = match upgraded.await {
        Ok(socket) => socket.into_inner().into_inner(),
        Err(error) => return gone(&error),
    };
    match bare_tcp(upgraded) {
        Ok((stream, early)) => {
            // As it is, not inside another future, which would hold it twice: before and while it
            // is polled. And without the server's read buffer.
            tokio::spawn(WebSocket::new(stream, &early, max_message).serve_lent(session));
        }
        Err(upgraded) => {
            let stream = TokioIo::new(upgraded);
            tokio::spawn(WebSocket::new(stream, &[], max_message).serve(session));
        }
    }
}

/// Serves a stream of HTTP/2. The lifeline is for what hyper could not write.
async fn serve_stream(
    upgraded: OnUpgrade,
    session: Session,
    max_message: usize,
    lifeline: Lifeline,
) {
    match upgraded.await {
        Ok(upgraded) => {
            let socket = WebSocket::new(TokioIo::new(upgraded), &[], max_message);
            Box::pin(socket.serve(session)).await;
        }
        Err(error) => gone(&error),
    }
    drop(lifeline);
}

fn gone(error: &impl Display) {
    debug!(%error, "the connection went away during the handshake");
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
