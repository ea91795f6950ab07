//! A network that fails when it is told to.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::select;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Bytes carried at once. Few, so that a cut falls into the middle of messages.
const PIECE: usize = 1024;
const UNLIMITED: u64 = u64::MAX;

/// Carries TCP connections to a server until they are cut.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: Arc<Line>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Line {
    /// How often it was cut.
    cuts: watch::Sender<u64>,
    /// Bytes that may still go to clients before it is cut.
    budget: AtomicU64,
}

impl Proxy {
    /// Opens a way to `server`.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let line = Arc::new(Line {
            cuts: watch::Sender::new(0),
            budget: AtomicU64::new(UNLIMITED),
        });
        let carrier = line.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let line = carrier.clone();
                let cut = line.cuts.subscribe();
                tokio::spawn(async move { line.carry(client, server, cut).await });
            }
        });
        Self {
            address,
            line,
            accepting: accepting.abort_handle(),
        }
    }

    /// Where clients reach the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection. What is on its way is lost.
    pub fn cut(&self) {
        self.line.cut();
    }

    /// Cuts every connection once this many more bytes have reached clients.
    pub fn cut_after(&self, bytes: u64) {
        self.line.budget.store(bytes, Ordering::Release);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Line {
    fn cut(&self) {
        self.budget.store(UNLIMITED, Ordering::Release);
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Carries one connection to its end.
    async fn carry(
        &self,
        mut client: TcpStream,
        server: SocketAddr,
        mut cut: watch::Receiver<u64>,
    ) {
        let Ok(mut server) = TcpStream::connect(server).await else {
            return;
        };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
        }
        let was_cut = {
            let (client_reads, client_writes) = client.split();
            let (server_reads, server_writes) = server.split();
            select! {
                _ = cut.changed() => true,
                _ = copy(client_reads, server_writes, |count| count) => false,
                _ = copy(server_reads, client_writes, |count| self.take(count)) => false,
            }
        };
        if was_cut {
            // Without a goodbye, and without what has not been read yet.
            let _ = client.set_zero_linger();
            let _ = server.set_zero_linger();
        }
    }

    /// How many of `count` bytes may pass before the cut. The last of them brings it about.
    fn take(&self, count: usize) -> usize {
        let budget = self.budget.load(Ordering::Acquire);
        let passing = usize::try_from(budget).map_or(count, |budget| budget.min(count));
        if budget != UNLIMITED {
            self.budget.fetch_sub(passing as u64, Ordering::AcqRel);
            if passing < count {
                self.cut();
            }
        }
        passing
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    passing: impl Fn(usize) -> usize,
) -> io::Result<()> {
    let mut piece = [0; PIECE];
    loop {
        let count = from.read(&mut piece).await?;
        let passing = passing(count);
        to.write_all(&piece[..passing]).await?;
        if count == 0 {
            return Ok(());
        }
        if passing < count {
            // Cut: the other half of this connection sees to its end.
            std::future::pending::<()>().await;
        }
    }
}
