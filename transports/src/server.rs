//! A server for programs that have none to embed the service in.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::Service;

/// Connections that may wait to be accepted while others are.
const BACKLOG: u32 = 4096;

/// Accepts connections for a [`Service`].
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    service: Service,
}

impl Server {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// What the system says, for instance that the address is in use.
    pub async fn bind(address: SocketAddr, service: Service) -> io::Result<Self> {
        let socket = if address.is_ipv4() {
            tokio::net::TcpSocket::new_v4()
        } else {
            tokio::net::TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self {
            listener: socket.listen(BACKLOG)?,
            service,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` resolves; then drains the node, which ends its connections (see
    /// [`fanfare::Node::drain`]), and stops listening. Meanwhile newcomers are answered 503, so that
    /// they look elsewhere rather than wait for a socket that is gone.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, service } = self;
        let node = service.node().clone();
        let ending = async {
            shutdown.await;
            node.drain().await;
        };
        tokio::select! {
            () = accept(listener, service) => {}
            () = ending => {}
        }
    }
}

async fn accept(listener: TcpListener, service: Service) {
    let limits = &service.node().config().limits;
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake)
        .max_buf_size(limits.head.max(8192));
    let http = std::sync::Arc::new(http);
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (http, service) = (http.clone(), service.clone());
                tokio::spawn(async move { connection(&http, stream, service).await });
            }
            Err(error) if is_of_one_connection(&error) => debug!(%error, "accept"),
            Err(error) => {
                // Out of descriptors, most likely. Connections that end will give some back.
                warn!(%error, "cannot accept connections");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(http: &auto::Builder<TokioExecutor>, stream: TcpStream, service: Service) {
    let service = TowerToHyperService::new(service);
    // Boxed: hyper's connection is many times the size of what is left after an upgrade.
    let serving = Box::pin(http.serve_connection_with_upgrades(TokioIo::new(stream), service));
    if let Err(error) = serving.await {
        debug!(error = &*error, "connection");
    }
}

/// Whether accepting failed because of the connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
