//! `/socket.io/`: which request is for which session.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use fanfare::{Disconnect, Error, ErrorKind, Node, Opening};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::engine::Engine;
use super::polling::{Poll, Polling, Request as PollingRequest};
use super::refusal::Refusal;
use super::sessions::{Handle, Sessions, Sid, random_sid};
use super::websocket::{Probing, serve};
use super::{Arguments, PollingFraming, SocketIo};
use crate::Body;
use crate::health::Health;
use crate::publish::read;
use crate::refusal::{not_opened, refusal};
use crate::request::{channels, handshake, query};
use crate::websocket::{Framings, Handshake, is_upgrade};

/// The version of Engine.IO that is spoken.
const VERSION: &str = "4";
/// Requests that may wait for a session's task. There is one poll, one body and one probe at a time;
/// what overlaps waits a moment to be told so.
const REQUESTS: usize = 4;

/// Answers the requests of Socket.IO clients.
#[derive(Debug)]
pub(crate) struct SocketIoService {
    node: Node,
    health: Arc<Health>,
    codec: Arc<SocketIo>,
    recovering: Arc<SocketIo>,
    polling: Arc<PollingFraming>,
    websocket: Framings,
    sessions: Arc<Sessions>,
}

/// What a request's query says.
struct Query<'a> {
    version: Option<Cow<'a, str>>,
    transport: Option<Cow<'a, str>>,
    sid: Option<Cow<'a, str>>,
    recovers: bool,
}

impl<'a> Query<'a> {
    fn of(parts: &'a Parts) -> Self {
        let first = |name| query(parts, name).next();
        Self {
            version: first("EIO"),
            transport: first("transport"),
            sid: first("sid").filter(|sid| !sid.is_empty()),
            recovers: first("recover").is_some_and(|value| value == "1"),
        }
    }
}

/// The answer to the handshake.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Open<'a> {
    sid: &'a str,
    upgrades: &'a [&'a str],
    /// Milliseconds.
    ping_interval: u128,
    /// Milliseconds.
    ping_timeout: u128,
    /// Bytes.
    max_payload: usize,
}

impl SocketIoService {
    pub(crate) fn new(node: Node, health: Arc<Health>, arguments: Arguments) -> Self {
        let websocket = Framings::new(&node.config().compression);
        let codec = SocketIo::new(arguments).telling(node.config().reconnect);
        Self {
            node,
            health,
            codec: Arc::new(codec),
            recovering: Arc::new(codec.recovering()),
            polling: Arc::new(PollingFraming),
            websocket,
            sessions: Arc::default(),
        }
    }

    /// Answers a request; `is_allowed` says whether its origin may connect.
    ///
    /// # Errors
    /// What is wrong apart from Engine.IO: a channel's name, a node that takes in nobody.
    pub(crate) async fn answer<B>(
        &self,
        request: Request<B>,
        is_allowed: bool,
    ) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let upgrades = is_upgrade(&request);
        let (parts, body) = request.into_parts();
        let asked = match self.check(&parts, upgrades, is_allowed) {
            Ok(asked) => asked,
            Err(refusal) => {
                fanfare::metrics::connection_rejected(match refusal {
                    Refusal::Forbidden => "origin",
                    _ => "bad_request",
                });
                return Ok(refusal.response());
            }
        };
        match asked {
            Asked::Open { recovers: true } if upgrades => {
                self.open_websocket(parts, body, &self.recovering)
            }
            Asked::Open { recovers: false } if upgrades => {
                self.open_websocket(parts, body, &self.codec)
            }
            Asked::Open { recovers } => {
                let codec = if recovers {
                    &self.recovering
                } else {
                    &self.codec
                };
                self.open_polling(&parts, codec)
            }
            Asked::Upgrade(handle) => Ok(self.upgrade(Request::from_parts(parts, body), handle)),
            Asked::Poll(handle) => Ok(poll(&handle).await),
            Asked::Post(handle) => Ok(self.post(&parts, body, &handle).await),
        }
    }

    /// The checks of the reference server, in its order.
    fn check(&self, parts: &Parts, upgrades: bool, is_allowed: bool) -> Result<Asked, Refusal> {
        let query = Query::of(parts);
        let on_websocket = match query.transport.as_deref() {
            Some("polling") => false,
            Some("websocket") => true,
            _ => return Err(Refusal::UnknownTransport),
        };
        if !is_allowed {
            return Err(Refusal::Forbidden);
        }
        // A WebSocket over HTTP/2 comes as an extended CONNECT (RFC 8441).
        let method = match parts.method {
            Method::CONNECT if upgrades => &Method::GET,
            ref method => method,
        };
        let is_spoken = query.version.as_deref() == Some(VERSION);
        let Some(sid) = query.sid else {
            return match *method {
                Method::GET if on_websocket != upgrades => Err(Refusal::BadRequest),
                Method::GET if !is_spoken => Err(Refusal::UnsupportedVersion),
                Method::GET => Ok(Asked::Open {
                    recovers: query.recovers,
                }),
                _ => Err(Refusal::BadHandshakeMethod),
            };
        };
        let handle = self.sessions.find(&sid).ok_or(Refusal::UnknownSession)?;
        match *method {
            _ if !is_spoken || on_websocket != upgrades => Err(Refusal::BadRequest),
            Method::GET if on_websocket => Ok(Asked::Upgrade(handle)),
            Method::GET => Ok(Asked::Poll(handle)),
            Method::POST => Ok(Asked::Post(handle)),
            _ => Err(Refusal::BadRequest),
        }
    }

    fn opening(&self, parts: &Parts, codec: &Arc<SocketIo>) -> Result<Opening, Error> {
        Ok(Opening {
            transport: "socket_io",
            codec: codec.clone(),
            framing: self.polling.clone(),
            handshake: handshake(parts),
            identity: None,
            channels: channels(parts)?,
            own_channel: true,
            session: None,
        })
    }

    fn open_polling(&self, parts: &Parts, codec: &Arc<SocketIo>) -> Result<Response<Body>, Error> {
        let opening = self.opening(parts, codec)?;
        let session = self.node.open(opening).map_err(|d| not_opened(&d))?;
        let engine = Engine::new(session, self.polling.clone(), self.health.clone());
        let sid = random_sid();
        let (requests, queue) = mpsc::channel(REQUESTS);
        let registration = self.sessions.insert(sid.clone(), requests);
        tokio::spawn(async move {
            Polling::new(engine, queue).run().await;
            drop(registration);
        });
        Ok(text(StatusCode::OK, self.open_packet(&sid, &["websocket"])))
    }

    fn open_websocket<B>(
        &self,
        parts: Parts,
        body: B,
        codec: &Arc<SocketIo>,
    ) -> Result<Response<Body>, Error> {
        let opening = self.opening(&parts, codec)?;
        let mut request = Request::from_parts(parts, body);
        let Some(handshake) = Handshake::read(&mut request, &self.websocket) else {
            return Ok(Refusal::BadRequest.response());
        };
        let deflates = handshake.deflates();
        let framing = self.websocket.of(deflates);
        let opening = Opening {
            framing: framing.clone(),
            ..opening
        };
        let session = self.node.open(opening).map_err(|d| not_opened(&d))?;
        let engine = Engine::new(session, framing, self.health.clone());
        let open = self.open_packet(&random_sid(), &[]);
        let max_message = self.node.config().limits.message;
        let (response, upgrading) = handshake.grant();
        tokio::spawn(serve(upgrading, engine, open, max_message, deflates));
        Ok(response)
    }

    fn upgrade<B>(&self, mut request: Request<B>, handle: Arc<Handle>) -> Response<Body> {
        match Handshake::read(&mut request, &self.websocket) {
            Some(handshake) => {
                let limits = &self.node.config().limits;
                let (max_message, within) = (limits.message, limits.handshake);
                let deflates = handshake.deflates();
                let probing = Probing {
                    handle,
                    framing: self.websocket.of(deflates),
                    deflates,
                    max_message,
                    until: Instant::now() + within,
                };
                let (response, upgrading) = handshake.grant();
                tokio::spawn(probing.serve(upgrading));
                response
            }
            None => Refusal::BadRequest.response(),
        }
    }

    async fn post<B>(&self, parts: &Parts, body: B, handle: &Handle) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some(_turn) = handle.begin_post() else {
            handle
                .send(PollingRequest::Close(Disconnect::BAD_REQUEST))
                .await;
            return Refusal::BadRequest.response();
        };
        let kind = parts.headers.get(header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind == "application/octet-stream") {
            handle
                .send(PollingRequest::Close(Disconnect::BAD_REQUEST))
                .await;
            return Refusal::BadRequest.response();
        }
        let body = match read(body, self.node.config().limits.message).await {
            Ok(body) => body,
            Err(error) => {
                handle
                    .send(PollingRequest::Close(Disconnect::BAD_REQUEST))
                    .await;
                return if error.kind() == ErrorKind::TooLarge {
                    refusal(&error, self.node.config().reconnect)
                } else {
                    Refusal::BadRequest.response()
                };
            }
        };
        let (answer, answered) = oneshot::channel();
        handle.send(PollingRequest::Post(body, answer)).await;
        match answered.await {
            Ok(Err(disconnect)) if disconnect == Disconnect::BAD_REQUEST => {
                Refusal::BadRequest.response()
            }
            // Why a session ends, its client reads in what it polls.
            Ok(_) => ok(),
            Err(_) => Refusal::UnknownSession.response(),
        }
    }

    fn open_packet(&self, sid: &Sid, upgrades: &[&str]) -> String {
        let config = self.node.config();
        let open = Open {
            sid,
            upgrades,
            ping_interval: config.heartbeat.ping.as_millis(),
            ping_timeout: config.heartbeat.pong.as_millis(),
            max_payload: config.limits.message,
        };
        let open = serde_json::to_string(&open).expect("strings and numbers serialize");
        format!("0{open}")
    }
}

/// What a request that passed the checks is for.
enum Asked {
    Open { recovers: bool },
    Upgrade(Arc<Handle>),
    Poll(Arc<Handle>),
    Post(Arc<Handle>),
}

/// Waits for packets. Dropping the future, or the answer before its body was begun, gives them back.
async fn poll(handle: &Handle) -> Response<Body> {
    let (answer, answered) = oneshot::channel();
    handle.send(PollingRequest::Poll(answer)).await;
    match answered.await {
        Ok(Poll::Packets(payload)) => text(StatusCode::OK, Body::stream(payload)),
        Ok(Poll::Overlaps) => Refusal::BadRequest.response(),
        Err(_) => Refusal::UnknownSession.response(),
    }
}

fn ok() -> Response<Body> {
    let mut response = text(StatusCode::OK, "ok");
    // As the reference server has it: some browsers offer text/plain for download.
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

fn text(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
