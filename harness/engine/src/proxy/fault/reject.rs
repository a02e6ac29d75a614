//! `reject`: accepts and resets, as an overloaded balancer does.

use super::{Claims, Evidence, Fault, Gate, Installed, Site};
use crate::proxy::error::ProxyError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// New connections are accepted, counted and reset; existing ones go on (combine with `Cut`).
///
/// *Heal*: new connections are served. *Bite*: how many were reset.
#[derive(Debug, Clone, Copy)]
pub struct Reject;

#[derive(Default)]
pub(crate) struct RejectBite {
    connections: AtomicU64,
}

impl RejectBite {
    pub(crate) fn note(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }
}

impl Evidence for RejectBite {
    fn bite(&self) -> Option<String> {
        let connections = self.connections.load(Ordering::Relaxed);
        (connections > 0).then(|| format!("{connections} connections were accepted and reset"))
    }
}

impl Fault for Reject {
    fn name(&self) -> &'static str {
        "reject"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn claims(&self) -> Claims {
        Claims::NEW
    }

    fn install(self, site: &Site<'_>) -> Result<Installed, ProxyError> {
        let bite = Arc::new(RejectBite::default());
        *site.server.gate.borrow_mut() = Gate::Reject(Arc::clone(&bite));
        Ok(Installed {
            evidence: bite,
            heal: Some(Box::new(|site| {
                *site.server.gate.borrow_mut() = Gate::Open;
                Ok(())
            })),
        })
    }
}
