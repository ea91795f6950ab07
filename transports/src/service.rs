//! The node's HTTP face.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use fanfare::codec::centrifuge::Centrifuge;
use fanfare::{Action, Error, ErrorKind, Identity, Node, Opening, metrics};
use http::{HeaderValue, Method, Request, Response, header};

use crate::compression::{Codings, compress};
use crate::cors::{Cors, connects};
use crate::emulation::{Emulation, Stream};
use crate::health::Health;
use crate::origin::AllowedOrigins;
use crate::publish::publish;
use crate::refusal::{not_opened, refusal, unauthenticated};
use crate::request::{bearer, channels, handshake};
use crate::server_api::Endpoint;
use crate::socket_io::{Arguments, SocketIoService};
use crate::websocket::{Framings, is_upgrade, upgrade};
use crate::{Body, long_poll, sse};

/// Serves a node over HTTP/1.1 and HTTP/2. Cloning costs a reference count.
///
/// | request | answer |
/// |---|---|
/// | `GET /ws` | a WebSocket that speaks the Centrifuge protocol; `?token=`, `?channel=`. Over HTTP/2 `CONNECT /ws` with `:protocol` `websocket` (RFC 8441) |
/// | `GET /sse` | the stream of an EventSource; `?channel=`, and `Last-Event-ID`, `?cursor=` or `?since=` |
/// | `GET /poll` | what stands behind a cursor, or comes within `?wait=`; the rest as for `/sse` |
/// | `POST /connection/http_stream`, `GET /connection/sse`, `POST /emulation` | the Centrifuge protocol without WebSockets |
/// | `GET, POST /socket.io/` | Socket.IO clients, on the WebSocket, by polling, or from one to the other; `?token=`, `?channel=` |
/// | `POST /publish` | publishes envelopes, with the API key as the next five |
/// | `GET /channels` | the channels that are listened to, and by how many |
/// | `GET /channels/{channel}/presence` | who is subscribed, where the channel's policy keeps that |
/// | `GET /channels/{channel}/history` | what a channel remembers; `?limit=`, `?cursor=` |
/// | `GET /users/{id}/connections` | a user's connections |
/// | `POST /users/{id}/disconnect` | ends them |
/// | `GET /health`, `GET /ready` | probes |
/// | `GET /metrics` | what [`ServiceBuilder::metrics`] renders |
/// | `GET /asyncapi.json` | the node's event set as [`Catalog::asyncapi`](fanfare::Catalog::asyncapi) writes it |
/// | `GET /` | the page of [`ServiceBuilder::page`] |
///
/// Pages of the server's own origin and of those allowed with [`ServiceBuilder::allow_origin`] may
/// connect, and read the answers on the paths of clients and of `/health` (CORS, also for requests
/// that need a preflight). Pages of other origins get 403 where a client connects.
#[derive(Clone, Debug)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    node: Node,
    api_key: Option<String>,
    origins: AllowedOrigins,
    page: Option<&'static str>,
    sse_welcome: Option<Welcome>,
    title: String,
    version: String,
    /// The node's event set, once it is built.
    asyncapi: Option<Bytes>,
    metrics: Option<Metrics>,
    health: Arc<Health>,
    socket_io: SocketIoService,
    codec: Arc<Centrifuge>,
    framings: Framings,
    emulation: Emulation,
}

/// Chooses what a [`Service`] offers besides the WebSocket and the probes.
#[derive(Debug)]
#[must_use]
pub struct ServiceBuilder(Inner);

/// What a client's event stream begins with.
pub(crate) type Welcome = fn(&Identity) -> String;

struct Metrics(Box<dyn Fn() -> String + Send + Sync>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl ServiceBuilder {
    /// Opens the server API to whoever brings this key. Without one it answers 401.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.0.api_key = Some(key.into());
        self
    }

    /// Lets browsers connect from pages of `origin`, `https://app.example.org` for instance,
    /// besides those of the server's own origin.
    pub fn allow_origin(mut self, origin: &str) -> Self {
        self.0.origins.add(origin);
        self
    }

    /// Serves an HTML page at `/`.
    pub fn page(mut self, html: &'static str) -> Self {
        self.0.page = Some(html);
        self
    }

    /// Begins each event stream with a message: what `welcome` says to its client, one line of JSON. It
    /// stands before all events, has no id, and is told again whenever the client comes back.
    pub fn sse_welcome(mut self, welcome: fn(&Identity) -> String) -> Self {
        self.0.sse_welcome = Some(welcome);
        self
    }

    /// What `/asyncapi.json` calls the event set, and its version; `Events` and `1.0.0` unless said
    /// otherwise.
    pub fn about(mut self, title: &str, version: &str) -> Self {
        title.clone_into(&mut self.0.title);
        version.clone_into(&mut self.0.version);
        self
    }

    /// Serves what `render` gives, in the text format of Prometheus, at `/metrics`.
    pub fn metrics(mut self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.0.metrics = Some(Metrics(Box::new(render)));
        self
    }

    /// What an event brings to Socket.IO clients; the whole envelope, unless this says otherwise.
    pub fn socket_io(mut self, arguments: Arguments) -> Self {
        let Inner { node, health, .. } = &self.0;
        self.0.socket_io = SocketIoService::new(node.clone(), health.clone(), arguments);
        self
    }

    /// The service.
    #[must_use]
    pub fn build(mut self) -> Service {
        let Inner { title, version, .. } = &self.0;
        let catalog = self.0.node.catalog();
        let asyncapi = catalog.map(|catalog| catalog.asyncapi(title, version).into());
        self.0.asyncapi = asyncapi;
        Service(Arc::new(self.0))
    }
}

impl Service {
    /// A service for a node, with probes and the WebSocket.
    pub fn builder(node: Node) -> ServiceBuilder {
        let health = Arc::<Health>::default();
        let framings = Framings::new(&node.config().compression);
        let socket_io = SocketIoService::new(node.clone(), health.clone(), Arguments::default());
        ServiceBuilder(Inner {
            node,
            api_key: None,
            origins: AllowedOrigins::default(),
            page: None,
            sse_welcome: None,
            title: "Events".to_owned(),
            version: "1.0.0".to_owned(),
            asyncapi: None,
            metrics: None,
            health,
            socket_io,
            codec: Arc::new(Centrifuge),
            framings,
            emulation: Emulation::default(),
        })
    }

    /// The node that is served.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.0.node
    }
}

impl<B> tower_service::Service<Request<B>> for Service
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move {
            let cors = Cors::of(&request, &inner.origins);
            let compression = &inner.node.config().compression;
            let codings = Codings::of(request.headers(), compression);
            let mut response = match cors.as_ref().and_then(Cors::preflight) {
                Some(preflight) => preflight,
                None => inner
                    .answer(request)
                    .await
                    .unwrap_or_else(|error| refusal(&error, inner.node.config().reconnect)),
            };
            if let Some(cors) = cors {
                cors.mark(response.headers_mut());
            }
            Ok(compress(response, codings, compression))
        })
    }
}

impl Inner {
    async fn answer<B>(&self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if request.uri().path() == "/socket.io/" {
            let is_allowed = self.origins.allow(request.uri(), request.headers());
            return self.socket_io.answer(request, is_allowed).await;
        }
        let method = match request.method() {
            // The server leaves out the body.
            &Method::HEAD => &Method::GET,
            method => method,
        };
        let path = request.uri().path();
        if connects(path) && !self.origins.allow(request.uri(), request.headers()) {
            metrics::connection_rejected("origin");
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                "this origin may not connect",
            ));
        }
        match (method, path) {
            // CONNECT: of HTTP/2.
            (&Method::GET | &Method::CONNECT, "/ws") => self.websocket(request).await,
            (&Method::GET, "/sse") => {
                sse::answer(&self.node, self.sse_welcome, &request.into_parts().0).await
            }
            (&Method::GET, "/poll") => long_poll::answer(&self.node, &request.into_parts().0).await,
            (&Method::POST, "/connection/http_stream") => self.emulate(Stream::Http, request).await,
            (&Method::GET, "/connection/sse") => self.emulate(Stream::Events, request).await,
            (&Method::POST, "/emulation") => {
                self.emulation
                    .receive(&self.node, request.into_body())
                    .await
            }
            (&Method::POST, "/publish") => {
                self.check_api_key(&request)?;
                publish(&self.node, request.into_body()).await
            }
            (&Method::GET, "/health") => Ok(self.health.health(&self.node)),
            (&Method::GET, "/ready") => Ok(Health::ready(&self.node)),
            (&Method::GET, "/metrics") => match &self.metrics {
                Some(Metrics(render)) => {
                    Ok(text("text/plain; version=0.0.4; charset=utf-8", render()))
                }
                None => Err(not_found()),
            },
            (&Method::GET, "/asyncapi.json") => match &self.asyncapi {
                Some(document) => Ok(text("application/json", document.clone())),
                None => Err(not_found()),
            },
            (&Method::GET, "/") => match self.page {
                Some(page) => Ok(text("text/html; charset=utf-8", page)),
                None => Err(not_found()),
            },
            (
                method,
                "/ws"
                | "/sse"
                | "/poll"
                | "/connection/http_stream"
                | "/connection/sse"
                | "/emulation"
                | "/publish"
                | "/health"
                | "/ready"
                | "/metrics"
                | "/asyncapi.json"
                | "/",
            ) => Err(wrong_method(method)),
            _ => self.server_api(request).await,
        }
    }

    async fn emulate<B>(&self, stream: Stream, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if request.method() == Method::HEAD {
            return Ok(Response::new(Body::empty()));
        }
        let (parts, body) = request.into_parts();
        self.emulation.open(&self.node, stream, &parts, body).await
    }

    async fn server_api<B>(&self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let uri = request.uri().clone();
        let endpoint = Endpoint::at(uri.path()).ok_or_else(not_found)?;
        let method = match request.method() {
            &Method::HEAD => &Method::GET,
            method => method,
        };
        if *method != endpoint.method() {
            return Err(wrong_method(method));
        }
        self.check_api_key(&request)?;
        endpoint.answer(&self.node, request).await
    }

    fn check_api_key<B>(&self, request: &Request<B>) -> Result<(), Error> {
        let given = bearer(request.headers()).unwrap_or_default();
        let right = self
            .api_key
            .as_deref()
            .is_some_and(|key| same(key.as_bytes(), given.as_bytes()));
        if right {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unauthorized,
            "the server API needs its key as bearer token",
        ))
    }

    async fn websocket<B>(&self, request: Request<B>) -> Result<Response<Body>, Error> {
        if !is_upgrade(&request) {
            metrics::connection_rejected("bad_request");
            return Err(no_handshake());
        }
        let (parts, body) = request.into_parts();
        let channels = channels(&parts)?;
        let handshake = handshake(&parts);
        let identity = self.recognize(&handshake).await?;
        if let Some(identity) = &identity {
            if let Err(error) = self.node.has_room_for(&identity.user).await {
                metrics::connection_rejected("connection_limit");
                return Err(error);
            }
            for channel in &channels {
                self.node
                    .authorize(identity, Action::Subscribe(channel))
                    .await?;
            }
        }
        let mut request = Request::from_parts(parts, body);
        let open = |framing| {
            self.node
                .open(Opening {
                    transport: "websocket",
                    codec: self.codec.clone(),
                    framing,
                    handshake,
                    identity,
                    channels,
                    own_channel: false,
                    session: None,
                })
                .map_err(|disconnect| not_opened(&disconnect))
        };
        let max_message = self.node.config().limits.message;
        upgrade(&mut request, &self.framings, max_message, open)
            .unwrap_or_else(|| Err(no_handshake()))
    }

    /// Who the client is, where its token came with the request; where none did it has time to say
    /// so in its dialect.
    async fn recognize(&self, handshake: &fanfare::Handshake) -> Result<Option<Identity>, Error> {
        if handshake.token.is_none() {
            return Ok(None);
        }
        match self.node.authenticate(None, handshake).await {
            Ok(identity) => Ok(Some(identity)),
            Err(error) => {
                metrics::connection_rejected("auth_failed");
                Err(unauthenticated(&error))
            }
        }
    }
}

fn text(kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn no_handshake() -> Error {
    Error::new(
        ErrorKind::BadRequest,
        "this path is for WebSocket handshakes (RFC 6455 or RFC 8441, version 13)",
    )
}

fn wrong_method(method: &Method) -> Error {
    Error::new(
        ErrorKind::BadRequest,
        format!("{method} is not for this path"),
    )
}

fn not_found() -> Error {
    Error::new(ErrorKind::MethodNotFound, "nothing is here")
}

/// Compares in a time that depends on the lengths alone, so that a key cannot be guessed byte by
/// byte.
fn same(key: &[u8], given: &[u8]) -> bool {
    key.len() == given.len()
        && key
            .iter()
            .zip(given)
            .fold(0, |difference, (a, b)| difference | (a ^ b))
            == 0
}
