//! fanfare behind layers of tower: a limit on requests under way, and a header of the application's own.
//!
//! `cargo run -p fanfare-examples --example tower`

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use fanfare::Node;
use fanfare::auth::jwt::JwtKey;
use fanfare_transports::{Body, Service};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::limit::ConcurrencyLimitLayer;
use tower::{ServiceBuilder, layer::layer_fn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    serve(TcpListener::bind("127.0.0.1:3000").await?, b"a secret").await
}

/// Serves until the listener fails.
pub(crate) async fn serve(
    listener: TcpListener,
    secret: &[u8],
) -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder().jwt(JwtKey::Hs256(secret))?.start().await?;
    let service = ServiceBuilder::new()
        // Of requests: a WebSocket that has been answered is none any more, a poll that waits is one.
        .layer(ConcurrencyLimitLayer::new(20_000))
        .layer(layer_fn(|inner| Marked { inner }))
        .service(Service::builder(node).api_key("a key").build());
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            // An error is the client's end of the connection.
            let _ = server
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// A layer of one's own: says on every answer who gave it.
#[derive(Clone, Debug)]
struct Marked<S> {
    inner: S,
}

impl<S> tower::Service<Request<Incoming>> for Marked<S>
where
    S: tower::Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let name = HeaderValue::from_static("realtime-1");
            response.headers_mut().insert("x-served-by", name);
            Ok(response)
        })
    }
}
