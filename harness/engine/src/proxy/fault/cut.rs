//! `cut`: ends every existing connection, once.

use super::{Claims, Evidence, Fault, Installed, Site, parameters};
use crate::proxy::connection::Closing;
use crate::proxy::error::ProxyError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How the subject is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CutMode {
    /// With a reset: what is under way to the subject may be lost.
    Reset,
    /// With an orderly end (FIN), in the middle of whatever was going on.
    Close,
}

/// Ends every existing connection; new ones work. Bytes that were held back are dropped.
///
/// *Heal*: nothing to heal, it is over when it has happened. *Bite*: how many connections were cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// How the subject is told.
    pub mode: CutMode,
}

struct CutBite {
    mode: CutMode,
    connections: u64,
}

impl Evidence for CutBite {
    fn bite(&self) -> Option<String> {
        let how = match self.mode {
            CutMode::Reset => "reset",
            CutMode::Close => "closed",
        };
        (self.connections > 0).then(|| format!("{} connections were {how}", self.connections))
    }
}

impl Fault for Cut {
    fn name(&self) -> &'static str {
        "cut"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        let mode = match self.mode {
            CutMode::Reset => "reset",
            CutMode::Close => "close",
        };
        parameters([("mode", mode.to_owned())])
    }

    fn claims(&self) -> Claims {
        Claims::NOTHING
    }

    fn conflicts_with(&self, name: &str, _claims: Claims) -> bool {
        name == "blackhole"
    }

    fn install(self, site: &Site<'_>) -> Result<Installed, ProxyError> {
        site.server.admit_waiting(site.hub);
        let how = match self.mode {
            CutMode::Reset => Closing::Reset,
            CutMode::Close => Closing::Fin,
        };
        let connections = site.server.cut_all(how, site.hub);
        Ok(Installed {
            evidence: Arc::new(CutBite {
                mode: self.mode,
                connections,
            }),
            heal: None,
        })
    }
}
