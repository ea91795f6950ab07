//! A server for programs that have none to embed the service in.

pub(crate) mod connection;
pub(crate) mod opening;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use self::connection::Protocols;
use crate::{Service, Tls};

/// Connections that may wait to be accepted while others are.
const BACKLOG: u32 = 4096;

/// Accepts connections for a [`Service`]: HTTP/1.1 and HTTP/2, in clear text (where HTTP/2 is spoken
/// by prior knowledge, RFC 9113 section 3.3) or over [`Tls`].
///
/// A client has `limits.handshake` to bring its first request, whether it is silent or stops inside a
/// TLS handshake, the preface of HTTP/2 or the head of the request; then its connection is closed.
/// A connection of HTTP/1.1 may wait as long between two requests, one of HTTP/2 60 s, and is asked for
/// a sign of life every 30 s besides.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    service: Service,
    tls: Option<Tls>,
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
            tls: None,
        })
    }

    /// Serves TLS instead of clear text.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` resolves; then drains the node, which ends its connections (see
    /// [`fanfare::Node::drain`]), answers the requests under way (HTTP/2 clients are sent GOAWAY), and stops listening. Meanwhile
    /// newcomers are answered 503, so that they look elsewhere rather than wait for a socket that is
    /// gone.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listener,
            service,
            tls,
        } = self;
        let protocols = Arc::new(Protocols::new(service.node().config(), tls.as_ref()));
        let node = service.node().clone();
        let (end_requests, requests) = watch::channel(());
        let ending = async {
            shutdown.await;
            node.drain().await;
        };
        tokio::select! {
            () = accept(&listener, &protocols, &service, &requests) => {}
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

async fn accept(
    listener: &TcpListener,
    protocols: &Arc<Protocols>,
    service: &Service,
    requests: &watch::Receiver<()>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let protocols = protocols.clone();
                tokio::spawn(protocols.serve(stream, service.clone(), requests.clone()));
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

/// Whether accepting failed because of the connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
