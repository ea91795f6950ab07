//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fanfare::Config;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::opening::Opened;
use crate::Body;
use crate::cut::{self, Cut};
use crate::tls::{HTTP2, Tls};

/// Streams that a client may have open on one connection of HTTP/2. RFC 9113 section 6.5.2 advises
/// against fewer than 100. A browser needs a handful; a proxy that carries many users on one
/// connection opens another when this one is full.
const STREAMS: u32 = 128;
/// What HTTP/2 keeps of a stream for which the client has no window: at most 8 MiB a connection. What
/// waits beyond that waits in the session's outbox, where it is still conflated and counted.
const SEND_BUFFER: usize = 64 << 10;
/// How often a connection of HTTP/2 is asked for a sign of life, and how long that may take.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection of HTTP/2 may have no request under way. Longer than with HTTP/1.1, where it
/// is the time for the next head: one connection stands for many, and a new one costs a TLS handshake.
const IDLE: Duration = Duration::from_secs(60);

/// What answers the requests of all connections.
pub(crate) trait Answer:
    tower_service::Service<
        Request<Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
}

impl<S> Answer for S where
    S: tower_service::Service<
            Request<Incoming>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static
{
}

/// How connections are served.
pub(crate) struct Protocols {
    tls: Option<TlsAcceptor>,
    http1: http1::Builder,
    head: u32,
    handshake: Duration,
    idle: Duration,
    ping: Duration,
    pong: Duration,
    /// How long the system goes on with a connection whose client takes nothing of what is sent.
    /// Shorter than the time between two signs of life, so that what stood before one of them has
    /// arrived where the next can be sent; and the end of answers that nobody reads.
    #[cfg(target_os = "linux")]
    unacknowledged: Duration,
}

impl Protocols {
    pub(crate) fn new(config: &Config, tls: Option<&Tls>) -> Self {
        let limits = &config.limits;
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(limits.handshake)
            .max_buf_size(limits.head.max(8192));
        Self {
            tls: tls.map(Tls::acceptor),
            http1,
            head: u32::try_from(limits.head).unwrap_or(u32::MAX),
            handshake: limits.handshake,
            idle: IDLE,
            ping: PING_EVERY,
            pong: PONG_WITHIN,
            #[cfg(target_os = "linux")]
            unacknowledged: config.heartbeat.comment * 5 / 6,
        }
    }

    /// Answers a connection's requests until it ends, becomes something else, or is told to end after
    /// those under way.
    pub(crate) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        service: impl Answer,
        mut ending: watch::Receiver<()>,
    ) {
        // What is sent has been put together already, and must not wait for more.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "TCP_NODELAY");
        }
        #[cfg(target_os = "linux")]
        if let Err(error) = SockRef::from(&stream).set_tcp_user_timeout(Some(self.unacknowledged)) {
            debug!(%error, "TCP_USER_TIMEOUT");
        }
        let requests = Arc::<Requests>::default();
        let answering = Answering {
            service,
            requests: requests.clone(),
        };
        tokio::select! {
            () = self.speak(stream, answering, &mut ending) => {}
            () = requests.overdue(self.handshake) => debug!("no request in time"),
        }
    }

    /// Finds out what the client speaks, and speaks it.
    async fn speak<S: Answer>(
        &self,
        stream: TcpStream,
        answering: Answering<S>,
        ending: &mut watch::Receiver<()>,
    ) {
        // Boxed, each for itself: a connection of the one kind should not hold room for the other.
        match &self.tls {
            None => match unless(ending, Opened::read(stream)).await {
                Some(Ok((stream, true))) => {
                    Box::pin(self.http2(stream, answering, ending)).await;
                }
                Some(Ok((stream, false))) => {
                    Box::pin(self.http1(stream, answering, ending)).await;
                }
                Some(Err(error)) => debug!(%error, "connection"),
                None => {}
            },
            Some(tls) => match unless(ending, Box::pin(tls.accept(stream))).await {
                Some(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(HTTP2) => {
                    Box::pin(self.http2(stream, answering, ending)).await;
                }
                Some(Ok(stream)) => {
                    Box::pin(self.http1(stream, answering, ending)).await;
                }
                Some(Err(error)) => debug!(%error, "TLS handshake"),
                None => {}
            },
        }
    }

    async fn http1<S: Answer>(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        answering: Answering<S>,
        ending: &mut watch::Receiver<()>,
    ) {
        let connection = self
            .http1
            .serve_connection(TokioIo::new(stream), answering)
            .with_upgrades();
        let mut connection = pin!(Cut::new(connection, ()));
        let served = tokio::select! {
            served = connection.as_mut() => served,
            _ = ending.changed() => {
                connection.as_mut().inner().graceful_shutdown();
                connection.await
            }
        };
        match served {
            Some(Ok(())) => {}
            Some(Err(error)) => debug!(%error, "connection"),
            None => debug!("cut: its client does not read"),
        }
    }

    async fn http2<S: Answer>(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        answering: Answering<S>,
        ending: &mut watch::Receiver<()>,
    ) {
        let requests = answering.requests.clone();
        let mut http2 = http2::Builder::new(Streams(requests.clone()));
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(self.head)
            .max_concurrent_streams(STREAMS)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(self.ping)
            .keep_alive_timeout(self.pong)
            .enable_connect_protocol();
        let mut connection = pin!(http2.serve_connection(TokioIo::new(stream), answering));
        let served = tokio::select! {
            served = connection.as_mut() => served,
            () = told_or_idle(ending, &requests, self.idle) => {
                // GOAWAY: what is under way is answered, and nothing new is taken.
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    served = connection => served,
                    () = requests.idle(self.handshake) => Ok(()),
                }
            }
        };
        if let Err(error) = served {
            debug!(%error, "connection");
        }
    }
}

impl fmt::Debug for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocols")
    }
}

/// Waits for `future`, unless the server ends first.
async fn unless<F: Future>(ending: &mut watch::Receiver<()>, future: F) -> Option<F::Output> {
    tokio::select! {
        output = future => Some(output),
        _ = ending.changed() => None,
    }
}

async fn told_or_idle(ending: &mut watch::Receiver<()>, requests: &Requests, idle: Duration) {
    tokio::select! {
        _ = ending.changed() => {}
        () = requests.idle(idle) => {}
    }
}

/// What is known of a connection's requests.
#[derive(Debug, Default)]
struct Requests {
    begun: AtomicBool,
    /// Of HTTP/2 only.
    under_way: watch::Sender<usize>,
}

impl Requests {
    /// Resolves when `limit` is over and no request has come.
    async fn overdue(&self, limit: Duration) {
        sleep(limit).await;
        if self.begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves when no request was under way for so long.
    async fn idle(&self, limit: Duration) {
        let mut under_way = self.under_way.subscribe();
        loop {
            let _ = under_way.wait_for(|count| *count == 0).await;
            if timeout(limit, under_way.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// The service, seen from one connection.
struct Answering<S> {
    service: S,
    requests: Arc<Requests>,
}

impl<S: Answer> hyper::service::Service<Request<Incoming>> for Answering<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        self.requests.begun.store(true, Ordering::Relaxed);
        cut::clear();
        self.service.clone().call(request)
    }
}

/// Runs the streams of a connection of HTTP/2, each in a task.
#[derive(Clone)]
struct Streams(Arc<Requests>);

impl<F: Future + Send + 'static> Executor<F> for Streams
where
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        tokio::spawn(Cut::new(stream, UnderWay::new(&self.0)));
    }
}

/// Counts a request while it is under way.
struct UnderWay(Arc<Requests>);

impl UnderWay {
    fn new(requests: &Arc<Requests>) -> Self {
        requests.under_way.send_modify(|count| *count += 1);
        Self(requests.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests;
