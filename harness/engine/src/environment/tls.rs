//! What a subject meets on its way to Redis in an environment with TLS.

use super::{Environment, EnvironmentError, Overrides};
use crate::instance::Wiring;
use crate::proxy::{PemIdentity, Tls, TlsClient, TlsServer};
use crate::store::StoreKind;
use crate::subject::manifest::Overlay;
use crate::tls::{Authority, Identity, Shown};
use std::collections::BTreeMap;

/// A name in the certificate of a store.
const STORE_NAME: &str = "localhost";

/// What a subject meets on its way to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisLine {
    /// TLS that the proxy ends, where it shows this; what is said can be read. TLS again toward the store.
    Ended(Shown),
    /// The TLS of the store itself, passed on untouched, and so not decoded.
    Passed,
    /// The store's plain port: no TLS, whatever is asked for.
    Plain,
}

impl Environment {
    /// Sets what new connections of an instance to Redis meet. Existing ones stay as they are.
    pub async fn set_redis_line(
        &self,
        wiring: &Wiring,
        line: RedisLine,
    ) -> Result<(), EnvironmentError> {
        let tls = match line {
            RedisLine::Ended(shown) => self.ended(shown)?,
            RedisLine::Passed | RedisLine::Plain => Tls::default(),
        };
        wiring.proxy(StoreKind::Redis).set_tls(tls).await?;
        let to_tls_port = line != RedisLine::Plain;
        wiring.lead_to_tls(&self.redis, to_tls_port).await?;
        Ok(())
    }

    /// What an instance is started with that is told of TLS in one of the manifest's ways.
    pub fn told_of_tls(&self, way: &Overlay) -> Result<Overrides, EnvironmentError> {
        let authority = self.plan.scope.authority()?;
        let file = |path: &std::path::Path| path.display().to_string();
        let placeholders = BTreeMap::from([
            ("tls.ca_file".to_owned(), file(&authority.ca_file)),
            (
                "tls.cert_file".to_owned(),
                file(&authority.client.certificate_file),
            ),
            ("tls.key_file".to_owned(), file(&authority.client.key_file)),
        ]);
        Ok(way.overrides(placeholders))
    }

    fn ended(&self, shown: Shown) -> Result<Tls, EnvironmentError> {
        let authority: &Authority = &*self.plan.scope.authority()?;
        let ca = authority.ca_pem.as_bytes();
        let spec = self.redis.spec();
        let demands = spec
            .tls
            .as_ref()
            .is_some_and(|tls| tls.demands_client_certificate);
        let subject = TlsServer::from_pem(pem(authority.server(shown)), demands.then_some(ca))?;
        let store = TlsClient::from_pem(ca, STORE_NAME, Some(pem(&authority.client)))?;
        Ok(Tls {
            subject: Some(subject),
            store: Some(store),
        })
    }
}

fn pem(identity: &Identity) -> PemIdentity<'_> {
    PemIdentity {
        chain: identity.certificate_pem.as_bytes(),
        key: identity.key_pem.as_bytes(),
    }
}
