//! Connections that are encrypted. Browsers need them: the stock client streams the bodies of its calls, which
//! browsers do over HTTP/2 only, and they speak HTTP/2 only over TLS.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What the host shows to be who it is.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// Why a certificate and a key are no good.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate's file.
    #[error("the certificate is not in PEM: {0}")]
    Certificate(String),
    /// The key's file.
    #[error("the private key is not in PEM: {0}")]
    Key(String),
    /// Both together.
    #[error("the certificate and the key do not go together: {0}")]
    Pair(String),
}

impl Tls {
    /// From a chain of certificates, the host's own first, and its private key, in PEM.
    ///
    /// # Errors
    ///
    /// [`TlsError`] says which of them is wrong.
    pub fn new(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|error| TlsError::Key(error.to_string()))?;
        let pair = |error: tokio_rustls::rustls::Error| TlsError::Pair(error.to_string());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(pair)?;
        // Both: WebSockets go over the older.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(crate) const fn acceptor(&self) -> &TlsAcceptor {
        &self.0
    }
}
