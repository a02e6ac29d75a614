//! Faults of the network, as guards that heal on drop.
//!
//! A new one is a file beside this one: a struct with its parameters, [`Fault`] for it, an
//! [`Evidence`] that says how it bit, and its row in the shared test (`tests/proxy/faults.rs`). One that acts
//! on the bytes of a flow is a [`LineFault`].
//!
//! # Which go together
//! A fault *claims* what new connections meet, what happens on existing ones, or both. Two that claim
//! the same would hide each other, so the second is refused with [`ProxyError::Conflict`].
//!
//! | fault | new connections | existing ones |
//! |---|---|---|
//! | [`Refuse`] | claims | claims |
//! | [`Reject`] | claims | |
//! | [`Silence`], [`Blackhole`] (`All`) | claims | claims |
//! | [`Silence`], [`Blackhole`] (`Existing`) | | claims |
//! | [`Admit`] (`Existing` only) | claims | |
//! | [`Admit`] (`New` only) | | claims |
//! | faults of the line ([`LineFault`]) | | |
//! | [`Cut`] | | not under `blackhole`, through which no reset would pass |

mod admit;
mod bandwidth;
mod blackhole;
mod cut;
mod guard;
mod latency;
mod limit_data;
mod line;
mod refuse;
mod reject;
mod reset_peer;
mod shaper;
mod silence;
mod slicer;
mod slow_close;
mod timeout;

pub use admit::{Admit, Only};
pub use bandwidth::Bandwidth;
pub use blackhole::Blackhole;
pub use cut::{Cut, CutMode};
pub use guard::NetworkFault;
pub use latency::Latency;
pub use limit_data::LimitData;
pub use line::{Direction, LineFault, Partly};
pub use refuse::Refuse;
pub use reject::Reject;
pub use reset_peer::ResetPeer;
pub use silence::Silence;
pub use slicer::Slicer;
pub use slow_close::SlowClose;
pub use timeout::Timeout;

pub(crate) use admit::AdmitBite;
pub(crate) use reject::RejectBite;
pub(crate) use shaper::{FlowRule, Shaper};
pub(crate) use silence::SilenceBite;

use super::connection::{Closing, Connection};
use super::error::ProxyError;
use super::record::Ending;
use super::server::Server;
use super::thread::Hub;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// Which connections a fault acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Those that exist and those to come.
    All,
    /// Those that exist when it is put in force; new ones work.
    Existing,
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Scope::All => "all",
            Scope::Existing => "existing",
        }
    }

    fn claims(self) -> Claims {
        Claims {
            new: self == Scope::All,
            existing: true,
        }
    }
}

/// What a fault keeps for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claims {
    /// What new connections meet.
    pub new: bool,
    /// What happens on existing connections.
    pub existing: bool,
}

impl Claims {
    pub(crate) const NOTHING: Claims = Claims {
        new: false,
        existing: false,
    };
    const NEW: Claims = Claims {
        new: true,
        existing: false,
    };
    const ALL: Claims = Claims {
        new: true,
        existing: true,
    };

    fn overlap(self, other: Claims) -> bool {
        self.new && other.new || self.existing && other.existing
    }
}

/// How a fault was seen to bite. Read from any thread, while it is in force and after.
pub trait Evidence: Send + Sync {
    /// In words, with numbers; `None` if it has not bitten.
    fn bite(&self) -> Option<String>;
}

/// Ends a fault.
pub type Heal = Box<dyn FnOnce(&Site<'_>) -> Result<(), ProxyError>>;

/// A fault that has just been put in force.
pub struct Installed {
    pub(crate) evidence: Arc<dyn Evidence>,
    /// `None` for a fault that is over as soon as it has happened.
    pub(crate) heal: Option<Heal>,
}

/// Where a fault is installed: one proxy, on its thread.
pub struct Site<'a> {
    pub(crate) server: &'a Rc<Server>,
    pub(crate) hub: &'a Rc<Hub>,
    pub(crate) fault_id: u64,
}

/// A fault of the network: its name, its parameters, and how it is put in force.
pub trait Fault: Send + 'static {
    /// Its name in records.
    fn name(&self) -> &'static str;

    /// Its parameters, names with units.
    fn parameters(&self) -> BTreeMap<String, String>;

    /// What it keeps for itself.
    fn claims(&self) -> Claims;

    /// Whether it cannot be put in force beside one that is.
    fn conflicts_with(&self, _name: &str, claims: Claims) -> bool {
        self.claims().overlap(claims)
    }

    /// Puts it in force. Runs on the proxy's thread, between two polls: it must not block.
    fn install(self, site: &Site<'_>) -> Result<Installed, ProxyError>;
}

/// What a new connection meets.
pub(crate) enum Gate {
    Open,
    Reject(Arc<RejectBite>),
    Wait(Arc<AdmitBite>),
    Silence(Arc<SilenceBite>),
}

impl Gate {
    pub(crate) fn meet(&self, connection: &mut Connection, server: &Server) {
        match self {
            Gate::Open => connection.connect(server.upstream()),
            Gate::Wait(bite) => connection.wait(Arc::clone(bite)),
            Gate::Silence(bite) => connection.silence(Arc::clone(bite)),
            Gate::Reject(bite) => {
                bite.note();
                server.counters.update(|counters| counters.rejected += 1);
                connection.end(Ending::RejectedByFault, Closing::Reset);
            }
        }
    }
}

fn parameters<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
