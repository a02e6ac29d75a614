//! Why an environment, or a part of it, could not be had.

use crate::port::NoFreePort;
use crate::proxy::{ProxyError, TlsConfigError};
use crate::scope::ScopeError;
use crate::store::StoreError;
use crate::subject::SubjectError;
use crate::tls::AuthorityError;
use std::path::PathBuf;

/// Why an environment, or a part of it, could not be had.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The private directory.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The certificates of the run.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// TLS at a proxy.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
    /// A port for the subject.
    #[error(transparent)]
    Port(#[from] NoFreePort),
    /// The SQL of the manifest's schema cannot be read.
    #[error("cannot read the schema {}; correct `stores.postgres_schema` in the manifest", .path.display())]
    Schema {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Postgres does not accept the SQL of the manifest's schema.
    #[error("Postgres refuses the schema {}; correct it, or `stores.postgres_schema` in the manifest", .path.display())]
    SchemaRefused {
        /// Which file.
        path: PathBuf,
        /// What Postgres says.
        source: tokio_postgres::Error,
    },
    /// A second instance, of a subject whose port cannot be chosen.
    #[error(
        "the subject always listens on port {0} (`subject.port` in the manifest), so that there can be one instance only"
    )]
    FixedPort(u16),
    /// The subject: the only one that may be the subject's own fault.
    #[error(transparent)]
    Subject(#[from] SubjectError),
}
