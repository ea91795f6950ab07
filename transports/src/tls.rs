//! Certificates.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// HTTP/2 first: where a client speaks both, that is what it gets.
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];

/// HTTP/2 by the name that it has in ALPN (RFC 9113 section 3.2).
pub(crate) const HTTP2: &[u8] = b"h2";

/// A server's certificate and key, for TLS 1.2 and 1.3 (RFC 5246, RFC 8446), with HTTP/2 and HTTP/1.1
/// by ALPN (RFC 7301). Cloning costs a reference count.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its private key (PKCS #8, PKCS #1
    /// or SEC 1), both in PEM.
    ///
    /// # Errors
    /// Where one of them cannot be read, or they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| TlsError::new(TlsErrorKind::Certificate, error))?;
        if chain.is_empty() {
            return Err(TlsError::new(
                TlsErrorKind::Certificate,
                pem::Error::NoItemsFound,
            ));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| TlsError::new(TlsErrorKind::Key, error))?;
        Self::new(chain, key).map_err(|error| {
            let kind = match &error {
                rustls::Error::InvalidCertificate(_) => TlsErrorKind::Certificate,
                rustls::Error::InconsistentKeys(_) => TlsErrorKind::Mismatch,
                _ => TlsErrorKind::Key,
            };
            TlsError::new(kind, error)
        })
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        // Ten thousand clients that come back at once should not all cost a signature, and the
        // default cache holds 256 sessions.
        config.ticketer = ring::Ticketer::new()?;
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.clone())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// What is wrong with a certificate or a key.
#[derive(Debug)]
pub struct TlsError {
    kind: TlsErrorKind,
    source: Box<dyn Error + Send + Sync>,
}

/// Kinds of [`TlsError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsErrorKind {
    /// There is no certificate, or one that cannot be read.
    Certificate,
    /// There is no private key, or one of a kind that is not supported.
    Key,
    /// The key is not the certificate's.
    Mismatch,
}

impl TlsError {
    fn new(kind: TlsErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: source.into(),
        }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> TlsErrorKind {
        self.kind
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            TlsErrorKind::Certificate => "no certificate in PEM",
            TlsErrorKind::Key => "no usable private key in PEM",
            TlsErrorKind::Mismatch => "the private key does not belong to the certificate",
        })
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
