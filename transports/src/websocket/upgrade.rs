//! From an HTTP request to a WebSocket.

use bytes::Bytes;
use fanfare::{Error, Session, Transport};
use fastwebsockets::upgrade::{UpgradeFut, is_upgrade_request};
use http::{HeaderValue, Request, Response, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tracing::debug;

use super::WebSocket;
use crate::Body;

/// The subprotocol that Centrifuge clients may ask for; the others are not spoken.
const SUBPROTOCOL: &str = "centrifuge-json";

pub(crate) fn is_upgrade<B>(request: &Request<B>) -> bool {
    is_upgrade_request(request)
}

/// The answer that turns the request's connection into a WebSocket, and the future that serves it
/// once the answer has been sent. None where the request is no valid handshake.
pub(crate) fn upgrade<B>(
    request: &mut Request<B>,
    max_message: usize,
    session: impl FnOnce() -> Result<Session, Error>,
) -> Option<Result<Response<Body>, Error>> {
    let asks_for_json = request
        .headers()
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|protocol| protocol.trim() == SUBPROTOCOL);
    let (response, upgraded) = fastwebsockets::upgrade::upgrade(request).ok()?;
    let session = match session() {
        Ok(session) => session,
        Err(refusal) => return Some(Err(refusal)),
    };
    tokio::spawn(serve(upgraded, session, max_message));
    let mut response = response.map(|_| Body::empty());
    if asks_for_json {
        let headers = response.headers_mut();
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    Some(Ok(response))
}

async fn serve(upgraded: UpgradeFut, session: Session, max_message: usize) {
    let upgraded = match upgraded.await {
        Ok(socket) => socket.into_inner().into_inner(),
        Err(error) => {
            debug!(%error, "the connection went away during the handshake");
            return;
        }
    };
    match bare_tcp(upgraded) {
        Ok((stream, early)) => {
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%error, "TCP_NODELAY");
            }
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

/// The TCP stream under an upgraded connection, and what had been read from it, if there is nothing
/// (TLS, HTTP/2) in between.
pub(crate) fn bare_tcp(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => Ok((parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => upgraded
            .downcast::<TokioIo<TcpStream>>()
            .map(|parts| (parts.io.into_inner(), parts.read_buf)),
    }
}
