//! `admit`: some connections go on, the others stand still.

use super::{Claims, Evidence, Fault, Gate, Installed, Site, parameters};
use crate::proxy::error::ProxyError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which connections go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Only {
    /// Those that begin while it is in force: the old ones stand still, as in a pool that has been left behind.
    New,
    /// Those that exist when it is put in force: new ones are accepted and stand still.
    Existing,
}

/// Lets only new or only existing connections through. On the others nothing is read, in either direction, and
/// nothing is lost (`Silence` throws away, `Blackhole` drops packets, `Reject` resets).
///
/// *Heal*: they go on; those that were accepted meanwhile with a connection to the store of now. *Bite*: how many
/// new connections had to wait; of the existing ones, on how many the subject has sent something that waits.
#[derive(Debug, Clone, Copy)]
pub struct Admit {
    /// Which.
    pub only: Only,
}

/// What an admission has done.
#[derive(Default)]
pub(crate) struct AdmitBite {
    connections: AtomicU64,
}

impl AdmitBite {
    pub(crate) fn note(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }
}

impl Evidence for AdmitBite {
    fn bite(&self) -> Option<String> {
        let connections = self.connections.load(Ordering::Relaxed);
        (connections > 0).then(|| format!("{connections} connections had to wait"))
    }
}

impl Fault for Admit {
    fn name(&self) -> &'static str {
        "admit"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        let only = match self.only {
            Only::New => "new",
            Only::Existing => "existing",
        };
        parameters([("only", only.to_owned())])
    }

    fn claims(&self) -> Claims {
        match self.only {
            Only::Existing => Claims::NEW,
            Only::New => Claims {
                new: false,
                existing: true,
            },
        }
    }

    fn install(self, site: &Site<'_>) -> Result<Installed, ProxyError> {
        site.server.admit_waiting(site.hub);
        let bite = Arc::new(AdmitBite::default());
        match self.only {
            Only::Existing => *site.server.gate.borrow_mut() = Gate::Wait(Arc::clone(&bite)),
            Only::New => site
                .server
                .for_each_live(|connection| connection.stand_still(Arc::clone(&bite))),
        }
        let evidence = Arc::clone(&bite);
        Ok(Installed {
            evidence,
            heal: Some(Box::new(move |site| heal(self.only, site, &bite))),
        })
    }
}

fn heal(only: Only, site: &Site<'_>, bite: &Arc<AdmitBite>) -> Result<(), ProxyError> {
    if only == Only::Existing {
        *site.server.gate.borrow_mut() = Gate::Open;
    }
    let upstream = site.server.upstream();
    site.server
        .for_each_live(|connection| connection.go_on(bite, upstream.clone()));
    Ok(())
}
