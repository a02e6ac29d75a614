//! `silence`: takes everything and answers nothing, as a frozen or deadlocked store does.

use super::{Claims, Evidence, Fault, Gate, Installed, Scope, Site, parameters};
use crate::proxy::error::ProxyError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the subject sends is acknowledged and swallowed; what the store sends waits. Connecting works.
///
/// `TCP_USER_TIMEOUT` and keepalive do not fire, as the kernel acknowledges; see `Blackhole`. A
/// subject that closes its side is let go, and its store connection with it.
///
/// *Heal*: connections that lost bytes are reset, as a stream with a hole cannot go on; others resume,
/// those accepted meanwhile with a connection to the store of now. *Bite*: bytes swallowed.
#[derive(Debug, Clone, Copy)]
pub struct Silence {
    /// Which connections.
    pub scope: Scope,
}

#[derive(Default)]
pub(crate) struct SilenceBite {
    bytes: AtomicU64,
    connections: AtomicU64,
}

impl SilenceBite {
    pub(crate) fn note(&self, bytes: u64, first_of_connection: bool) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.connections
            .fetch_add(u64::from(first_of_connection), Ordering::Relaxed);
    }
}

impl Evidence for SilenceBite {
    fn bite(&self) -> Option<String> {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let connections = self.connections.load(Ordering::Relaxed);
        (bytes > 0).then(|| format!("{bytes} bytes of {connections} connections were swallowed"))
    }
}

impl Fault for Silence {
    fn name(&self) -> &'static str {
        "silence"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        parameters([("scope", self.scope.name().to_owned())])
    }

    fn claims(&self) -> Claims {
        self.scope.claims()
    }

    fn install(self, site: &Site<'_>) -> Result<Installed, ProxyError> {
        site.server.admit_waiting(site.hub);
        let bite = Arc::new(SilenceBite::default());
        site.server
            .for_each_live(|connection| connection.silence(Arc::clone(&bite)));
        if self.scope == Scope::All {
            *site.server.gate.borrow_mut() = Gate::Silence(Arc::clone(&bite));
        }
        Ok(Installed {
            evidence: bite,
            heal: Some(Box::new(move |site| heal(self.scope, site))),
        })
    }
}

fn heal(scope: Scope, site: &Site<'_>) -> Result<(), ProxyError> {
    if scope == Scope::All {
        *site.server.gate.borrow_mut() = Gate::Open;
    }
    let upstream = site.server.upstream();
    site.server
        .for_each_live(|connection| connection.unsilence(upstream.clone()));
    Ok(())
}
