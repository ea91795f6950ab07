//! A server for programs that have none to embed the service in.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::Service;

/// Connections that may wait to be accepted while others are.
const BACKLOG: u32 = 4096;

type HttpConnection =
    http1::UpgradeableConnection<TokioIo<TcpStream>, TowerToHyperService<Service>>;

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
    /// [`fanfare::Node::drain`]), answers the requests under way, and stops listening. Meanwhile
    /// newcomers are answered 503, so that they look elsewhere rather than wait for a socket that is
    /// gone.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, service } = self;
        let node = service.node().clone();
        let (end_requests, requests) = watch::channel(());
        let ending = async {
            shutdown.await;
            node.drain().await;
        };
        tokio::select! {
            () = accept(&listener, &service, &requests) => {}
            () = ending => {}
        }
        drop((listener, requests));
        end_requests.send_replace(());
        if timeout(node.config().drain.limit, end_requests.closed())
            .await
            .is_err()
        {
            warn!("some requests were not answered in time");
        }
    }
}

async fn accept(listener: &TcpListener, service: &Service, requests: &watch::Receiver<()>) {
    let limits = &service.node().config().limits;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.handshake)
        .max_buf_size(limits.head.max(8192));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = TowerToHyperService::new(service.clone());
                let connection = http
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                tokio::spawn(serve_requests(connection, requests.clone()));
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

/// Answers a connection's requests until it ends, becomes something else, or is told to end after the
/// one under way.
async fn serve_requests(connection: HttpConnection, mut ending: watch::Receiver<()>) {
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        _ = ending.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "connection");
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
