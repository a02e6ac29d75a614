//! Rules: what is done to the nth command of a kind, or to its reply.
//!
//! A [`Rule`] is a fault like the others: it is injected into a proxy, held by a guard, heals on drop, and
//! says how often it bit. It needs a proxy that decodes ([`super::Protocol`]).
//!
//! Within one connection nothing is ever reordered: a held command holds what was sent after it, a held
//! reply the replies behind it. To force two requests into an order, let them come from two instances,
//! each behind its own proxy, or hold on the other store.
//!
//! With several rules in force, each counts its own matches; on a command that several want to act on,
//! the one that was put in force first does.
//!
//! Limit: of a command that had begun to pass before the rule was in force, nothing is matched.

mod action;
mod progress;
mod state;
mod when;

pub use action::{Action, ErrorReply, Then};
pub use progress::{Progress, RuleWatch, Seen};
pub use when::{Nth, When};

pub(crate) use state::{Gate, RuleState};

use super::error::ProxyError;
use super::fault::{Claims, Fault, Installed, Site};
use super::handle::Protocol;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// One rule: *when* this is seen, *do* that.
#[derive(Debug)]
pub struct Rule {
    when: When,
    action: Action,
    progress: watch::Sender<Progress>,
}

impl Rule {
    /// A rule that is not yet in force.
    #[must_use]
    pub fn new(when: When, action: Action) -> Self {
        Self {
            when,
            action,
            progress: watch::Sender::default(),
        }
    }

    /// Watches how far the rule has come, also after it was put in force.
    #[must_use]
    pub fn watch(&self) -> RuleWatch {
        RuleWatch::new(self.to_string(), self.progress.subscribe())
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "when {} do {}", self.when, self.action)
    }
}

impl Fault for Rule {
    fn name(&self) -> &'static str {
        self.action.name()
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("when".to_owned(), self.when.to_string()),
            ("do".to_owned(), self.action.to_string()),
        ])
    }

    fn claims(&self) -> Claims {
        Claims::NOTHING
    }

    fn install(self, site: &Site<'_>) -> Result<Installed, ProxyError> {
        let protocol = site.server.protocol;
        let answers_in_resp = matches!(self.action, Action::Answer(_));
        if protocol == Protocol::Opaque || answers_in_resp && protocol != Protocol::Redis {
            return Err(ProxyError::NotDecoded {
                proxy: site.server.name.clone(),
                rule: self.to_string(),
            });
        }
        let seed = site.server.seed.derive(&format!("rule {}", site.fault_id));
        let evidence = std::sync::Arc::new(progress::Bite::new(&self.action, &self.progress));
        let state = RuleState::new(site.fault_id, self.when, self.action, seed, self.progress);
        site.server.admit_waiting(site.hub);
        site.server.lookout.add_rule(state);
        Ok(Installed {
            evidence,
            heal: Some(Box::new(heal)),
        })
    }
}

/// What is held is let go; a connection that lost a part of its stream cannot go on, and is reset.
fn heal(site: &Site<'_>) -> Result<(), ProxyError> {
    if let Some(rule) = site.server.lookout.remove_rule(site.fault_id) {
        rule.open_all();
    }
    site.server
        .for_each_live(|connection| connection.rule_healed(site.fault_id));
    Ok(())
}
