//! The guard that every network fault is held by.

use super::Evidence;
use crate::proxy::error::ProxyError;
use crate::proxy::rule::RuleState;
use crate::proxy::server::Injected;
use crate::proxy::thread::{Hub, Link};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use touchstone_core::fault::FaultRecord;

/// A fault in force. Dropping it heals.
#[must_use = "a fault is healed when its guard is dropped"]
pub struct NetworkFault {
    link: Link,
    server_id: u64,
    fault_id: u64,
    name: &'static str,
    target: String,
    parameters: BTreeMap<String, String>,
    evidence: Arc<dyn Evidence>,
    injected_at: Instant,
    healed_at: Option<Instant>,
}

impl NetworkFault {
    pub(crate) fn new(
        link: Link,
        server_id: u64,
        name: &'static str,
        target: String,
        parameters: BTreeMap<String, String>,
        injected: Injected,
    ) -> Self {
        let injected_at = Instant::now();
        Self {
            link,
            server_id,
            fault_id: injected.id,
            name,
            target,
            parameters,
            evidence: injected.evidence,
            injected_at,
            healed_at: injected.is_over.then_some(injected_at),
        }
    }

    /// The fault's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The proxy it acts on.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Its parameters, names with units.
    #[must_use]
    pub fn parameters(&self) -> &BTreeMap<String, String> {
        &self.parameters
    }

    /// When it was in force.
    #[must_use]
    pub fn injected_at(&self) -> Instant {
        self.injected_at
    }

    /// When it was healed. A one-shot fault is over when it is in force.
    #[must_use]
    pub fn healed_at(&self) -> Option<Instant> {
        self.healed_at
    }

    /// How it was seen to bite; `None` if it was not. Also after the heal.
    #[must_use]
    pub fn bite(&self) -> Option<String> {
        self.evidence.bite()
    }

    /// Ends the fault; returns when that is in force. A second time it does nothing.
    pub async fn heal(&mut self) -> Result<(), ProxyError> {
        if self.healed_at.is_some() {
            return Ok(());
        }
        let (server_id, fault_id) = (self.server_id, self.fault_id);
        let healed = self.link.call(move |hub| match hub.server(server_id) {
            Some(server) => server.heal(hub, fault_id),
            // With the proxy went the fault.
            None => Ok(()),
        });
        healed.await??;
        self.healed_at = Some(Instant::now());
        Ok(())
    }

    /// Lets go of the oldest thing that a rule holds; whether there was one.
    pub async fn release_one(&self) -> Result<bool, ProxyError> {
        self.release(|rule| u64::from(rule.open_one()))
            .await
            .map(|released| released > 0)
    }

    /// Lets go of all that a rule holds; how much that was. What comes later is held again.
    pub async fn release_all(&self) -> Result<u64, ProxyError> {
        self.release(RuleState::open_all).await
    }

    async fn release(&self, open: fn(&RuleState) -> u64) -> Result<u64, ProxyError> {
        let (server_id, fault_id) = (self.server_id, self.fault_id);
        let released = self.link.call(move |hub| {
            let server = hub.server(server_id)?;
            let released = server.lookout.rule(fault_id).map(|rule| open(&rule));
            server.for_each_live(|connection| connection.wake());
            released
        });
        Ok(released.await?.unwrap_or(0))
    }

    /// The fault as data, its times counted from `began`.
    #[must_use]
    pub fn record(&self, began: Instant) -> FaultRecord {
        let since = |at: Instant| {
            u64::try_from(at.saturating_duration_since(began).as_micros()).unwrap_or(u64::MAX)
        };
        FaultRecord {
            name: self.name.to_owned(),
            target: self.target.clone(),
            parameters: self.parameters.clone(),
            injected_at_us: since(self.injected_at),
            healed_at_us: self.healed_at.map(since),
            bite: self.bite(),
        }
    }

    /// Heals on the proxy's own thread, where a drop would wait for itself.
    pub(crate) fn abandon(mut self, hub: &Rc<Hub>) {
        self.healed_at = Some(Instant::now());
        if let Some(server) = hub.server(self.server_id) {
            heal_or_log(server.heal(hub, self.fault_id), self.name);
        }
    }
}

impl Drop for NetworkFault {
    fn drop(&mut self) {
        if self.healed_at.is_some() {
            return;
        }
        let (server_id, fault_id, name) = (self.server_id, self.fault_id, self.name);
        self.link.call_blocking(move |hub| {
            if let Some(server) = hub.server(server_id) {
                heal_or_log(server.heal(hub, fault_id), name);
            }
        });
    }
}

fn heal_or_log(healed: Result<(), ProxyError>, fault: &str) {
    if let Err(error) = healed {
        tracing::error!(fault, %error, "the fault could not be healed");
    }
}

impl fmt::Debug for NetworkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkFault")
            .field("name", &self.name)
            .field("target", &self.target)
            .field("parameters", &self.parameters)
            .field("healed", &self.healed_at.is_some())
            .field("bite", &self.bite())
            .finish_non_exhaustive()
    }
}
