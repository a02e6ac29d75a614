//! TLS that ends at `touchstone proxy`.

use crate::args::ProxyArgs;
use crate::error::UsageError;
use std::path::Path;
use touchstone_engine::error_chain;
use touchstone_engine::proxy::{PemIdentity, Tls, TlsClient, TlsServer};

/// What the files on the command line come to.
pub(super) fn of(args: &ProxyArgs, upstream: &str) -> Result<Tls, UsageError> {
    let identity = match (&args.tls_cert, &args.tls_key) {
        (Some(chain), Some(key)) => Some((read("--tls-cert", chain)?, read("--tls-key", key)?)),
        _ => None,
    };
    let pem = identity
        .as_ref()
        .map(|(chain, key)| PemIdentity { chain, key });
    let subject = pem
        .map(|pem| TlsServer::from_pem(pem, None))
        .transpose()
        .map_err(|error| UsageError(format!("--tls-cert: {}", error_chain(&error))))?;
    let store = args
        .upstream_tls_ca
        .as_ref()
        .map(|authority| toward(args, authority, upstream))
        .transpose()?;
    Ok(Tls { subject, store })
}

fn toward(args: &ProxyArgs, authority: &Path, upstream: &str) -> Result<TlsClient, UsageError> {
    let host = upstream.rsplit_once(':').map_or(upstream, |(host, _)| host);
    let name = args.upstream_tls_name.as_deref().unwrap_or(host);
    let authority = read("--upstream-tls-ca", authority)?;
    TlsClient::from_pem(&authority, name, None)
        .map_err(|error| UsageError(format!("--upstream-tls-ca: {}", error_chain(&error))))
}

fn read(option: &str, path: &Path) -> Result<Vec<u8>, UsageError> {
    std::fs::read(path)
        .map_err(|error| UsageError(format!("{option}: cannot read {}: {error}", path.display())))
}
