//! TLS that ends at the proxy, so that the tap sees what an encrypted subject says.
//!
//! Without it a proxy passes TLS on untouched, and the tap tells the connection as not decoded. With it, the
//! proxy shows the subject a certificate of its own, and speaks TLS, or none, to the store. Faults act as ever:
//! what stands still, is cut or reset is the socket; what is held back, cut into pieces or answered in the
//! store's stead is what was decrypted.

mod end;
mod error;
mod upstream;

pub(crate) use end::End;
pub use error::TlsConfigError;
pub(crate) use upstream::{NoStore, Upstream};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fmt;
use std::sync::Arc;

/// How new connections of a proxy treat TLS. The default: bytes pass on as they are.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Ends TLS toward the subject.
    pub subject: Option<TlsServer>,
    /// Speaks TLS to the store.
    pub store: Option<TlsClient>,
}

/// What is shown to a subject.
#[derive(Clone)]
pub struct TlsServer(Arc<ServerConfig>);

/// What is asked of a store.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// A certificate chain and its key, both as PEM.
#[derive(Debug, Clone, Copy)]
pub struct PemIdentity<'a> {
    /// The certificate, and those between it and the authority.
    pub chain: &'a [u8],
    /// Its private key.
    pub key: &'a [u8],
}

impl TlsServer {
    /// Shows this certificate; with an authority, demands a certificate of that from the subject.
    pub fn from_pem(
        identity: PemIdentity<'_>,
        client_authority: Option<&[u8]>,
    ) -> Result<Self, TlsConfigError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsConfigError::Refused)?;
        let builder = match client_authority {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let roots = Arc::new(roots(authority)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = verifier.build().map_err(TlsConfigError::Verifier)?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(chain(identity.chain)?, key(identity.key)?);
        Ok(Self(Arc::new(config.map_err(TlsConfigError::Refused)?)))
    }
}

impl TlsClient {
    /// Demands a certificate of that authority for that name, and shows one of its own if it has one.
    pub fn from_pem(
        authority: &[u8],
        name: &str,
        identity: Option<PemIdentity<'_>>,
    ) -> Result<Self, TlsConfigError> {
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| TlsConfigError::Name(name.to_owned()))?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsConfigError::Refused)?
            .with_root_certificates(roots(authority)?);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(chain(identity.chain)?, key(identity.key)?)
                .map_err(TlsConfigError::Refused)?,
        };
        let config = Arc::new(config);
        Ok(Self { config, name })
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsServer")
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsClient for {:?}", self.name)
    }
}

/// Named here, as the crates in a build may bring more than one.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(TlsConfigError::NoCertificate),
        Err(source) => Err(TlsConfigError::Pem(source)),
    }
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(TlsConfigError::Key)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(pem)? {
        roots.add(certificate).map_err(TlsConfigError::Refused)?;
    }
    Ok(roots)
}
