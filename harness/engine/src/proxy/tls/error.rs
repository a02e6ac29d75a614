//! What is wrong with a certificate, a key or a name that was given.

use rustls::pki_types::pem;
use rustls::server::VerifierBuilderError;

/// TLS cannot be set up with what was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// The file of certificates is no PEM.
    #[error("the certificates cannot be read as PEM")]
    Pem(#[source] pem::Error),
    /// It is PEM without a certificate.
    #[error("there is no certificate in what was given as certificates")]
    NoCertificate,
    /// The file of the key is no PEM, or holds no key.
    #[error("the private key cannot be read as PEM")]
    Key(#[source] pem::Error),
    /// The name is neither a host name nor an address.
    #[error("`{0}` is no host name and no IP address")]
    Name(String),
    /// The parts do not fit, for instance the key is another certificate's.
    #[error("these certificates and keys cannot be used")]
    Refused(#[source] rustls::Error),
    /// The authority for the certificates of clients cannot be used.
    #[error("the authority for client certificates cannot be used")]
    Verifier(#[source] VerifierBuilderError),
}
