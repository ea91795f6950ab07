//! TLS in front of a server that has none, and clients that trust it.

use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Where a client is told its URL.
const URL: &str = "FANFARE_TEST_AMQPS";

/// A port of `localhost` that speaks TLS, with a certificate that nobody trusts.
pub(crate) struct Secured {
    pub(crate) port: u16,
    handshakes: Arc<AtomicUsize>,
    folder: TempDir,
}

impl Secured {
    /// In front of the server at an address.
    pub(crate) async fn before(server: &str) -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(roots(&folder), certified.cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
        let tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let handshakes = Arc::new(AtomicUsize::new(0));
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(serve(
            listener,
            acceptor,
            server.to_owned(),
            handshakes.clone(),
        ));
        Self {
            port,
            handshakes,
            folder,
        }
    }

    /// How many clients have shaken hands.
    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::Acquire)
    }

    /// Runs a test of this program, which is left out else, as a client that trusts the certificate. The
    /// roots of trust of a system are set for a process, so it is a process of its own.
    pub(crate) async fn client(&self, test: &str, url: &str) {
        let client = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored"])
            .env("SSL_CERT_FILE", roots(&self.folder))
            .env(URL, url)
            .kill_on_drop(true)
            .output();
        let client = timeout(Duration::from_secs(60), client).await;
        let Output { status, stdout, .. } = client.expect("the client ends").unwrap();
        let said = String::from_utf8_lossy(&stdout);
        assert!(status.success() && said.contains("1 passed"), "{said}");
    }
}

/// What a client is told.
pub(crate) fn url() -> String {
    std::env::var(URL).unwrap()
}

fn roots(folder: &TempDir) -> PathBuf {
    folder.path().join("roots.pem")
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    server: String,
    handshakes: Arc<AtomicUsize>,
) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let handshake = timeout(Duration::from_secs(5), acceptor.accept(client));
        let Ok(Ok(mut client)) = handshake.await else {
            continue;
        };
        handshakes.fetch_add(1, Ordering::AcqRel);
        let mut server = TcpStream::connect(&server).await.unwrap();
        tokio::spawn(async move {
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}
