//! Certificates for servers, and clients that trust them.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::server::Launch;

/// A certificate for 127.0.0.1, signed by itself, with its key, in files.
#[derive(Debug)]
pub struct Certificate {
    der: CertificateDer<'static>,
    certificate: NamedTempFile,
    key: NamedTempFile,
}

impl Certificate {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])
            .expect("an address is a name");
        Self {
            der: made.cert.der().clone(),
            certificate: file(&made.cert.pem()),
            key: file(&made.signing_key.serialize_pem()),
        }
    }

    /// The certificate's file.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        self.certificate.path()
    }

    /// The key's file.
    #[must_use]
    pub fn key(&self) -> &Path {
        self.key.path()
    }

    /// A MechaMap server that serves TLS with it.
    #[must_use]
    pub fn launch(&self) -> Launch {
        Launch::mechamap()
            .argument("--tls-cert")
            .argument(self.certificate())
            .argument("--tls-key")
            .argument(self.key())
    }

    /// Connects with what a client of all versions offers by ALPN.
    pub async fn connect(
        &self,
        address: SocketAddr,
        protocols: &[&str],
    ) -> Box<TlsStream<TcpStream>> {
        self.connect_with(address, protocols, rustls::ALL_VERSIONS)
            .await
    }

    /// Connects with some versions of TLS.
    pub async fn connect_with(
        &self,
        address: SocketAddr,
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Box<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.der.clone())
            .expect("a certificate can be trusted");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions that there are")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let stream = TcpStream::connect(address)
            .await
            .expect("the server accepts connections");
        stream
            .set_nodelay(true)
            .expect("a TCP socket has the option");
        let name = ServerName::IpAddress(address.ip().into());
        let connector = TlsConnector::from(Arc::new(config));
        let stream = Box::pin(connector.connect(name, stream)).await;
        Box::new(stream.expect("a TLS handshake"))
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes())
        .expect("a temporary file takes text");
    file
}
