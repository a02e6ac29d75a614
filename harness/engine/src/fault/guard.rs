//! The one guard that a scenario holds, whatever kind of fault is behind it.

use super::instance::FrozenInstance;
use super::ledger::Ledger;
use super::refusal::{Refusal, RefusalKind};
use super::server::{ServerFault, ServerFaultKind};
use crate::environment::{Environment, EnvironmentError};
use crate::instance::{Instance, Wiring};
use crate::proxy::NetworkFault;
use crate::proxy::fault::Fault;
use crate::store::{StoreError, StoreKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use touchstone_core::fault::FaultRecord;

/// A fault in force. Dropping it heals, in the background; [`FaultGuard::heal`] says when it is done.
#[must_use = "a fault is healed when its guard is dropped"]
#[derive(Debug)]
pub struct FaultGuard {
    held: Option<Held>,
    place: usize,
    ledger: Arc<Ledger>,
}

#[derive(Debug)]
enum Held {
    Network(NetworkFault),
    Server(ServerFault),
    Refusal(Refusal),
    Instance(FrozenInstance),
}

impl FaultGuard {
    /// How it was seen to bite so far.
    pub fn bite(&self) -> Option<String> {
        match self.held.as_ref()? {
            Held::Network(fault) => fault.bite(),
            Held::Server(fault) => fault.bite(),
            Held::Refusal(fault) => Some(fault.bite()),
            Held::Instance(fault) => fault.bite(),
        }
    }

    /// Lets go of what a rule holds now; how much that was. Nothing for any other fault.
    pub async fn release(&self) -> Result<u64, EnvironmentError> {
        match &self.held {
            Some(Held::Network(fault)) => Ok(fault.release_all().await?),
            _ => Ok(0),
        }
    }

    /// Ends a fault that turned out to have nothing to act on, for a reason that is no fault of the environment: it does not
    /// make the verdict unknown.
    pub async fn withdraw(self, why: &str) -> Result<(), EnvironmentError> {
        let bite = self.bite();
        self.end(bite.or_else(|| Some(format!("withdrawn: {why}"))))
            .await
    }

    /// Ends the fault; returns when that is in force.
    pub async fn heal(self) -> Result<(), EnvironmentError> {
        let bite = self.bite();
        self.end(bite).await
    }

    async fn end(mut self, bite: Option<String>) -> Result<(), EnvironmentError> {
        let healed = match self.held.take() {
            Some(Held::Network(mut fault)) => fault.heal().await.map_err(Into::into),
            Some(Held::Server(fault)) => fault.heal().await,
            Some(Held::Refusal(fault)) => fault.heal().await.map_err(Into::into),
            Some(Held::Instance(fault)) => fault.heal(),
            None => Ok(()),
        };
        self.ledger.complete(self.place, bite, healed.is_ok());
        healed
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        let bite = self.bite();
        let Some(held) = self.held.take() else { return };
        let at_once = matches!(held, Held::Network(_));
        self.ledger.complete(self.place, bite, at_once);
        if at_once {
            return;
        }
        // Starting a server takes longer than a drop may; without a runtime the teardown is next.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let healed = match held {
                    // Over already.
                    Held::Network(_) => Ok(()),
                    Held::Server(fault) => fault.heal().await,
                    Held::Refusal(fault) => fault.heal().await.map_err(Into::into),
                    Held::Instance(fault) => fault.heal(),
                };
                match healed {
                    // The teardown was faster and has removed the server.
                    Ok(()) | Err(EnvironmentError::Store(StoreError::NotRunning(_))) => {}
                    Err(error) => {
                        let error = crate::error_chain(&error);
                        tracing::warn!("a dropped fault did not heal: {error}");
                    }
                }
            });
        }
    }
}

impl Environment {
    /// Puts a fault on a whole server.
    pub async fn fault(
        &self,
        store: StoreKind,
        kind: ServerFaultKind,
    ) -> Result<FaultGuard, EnvironmentError> {
        let fault =
            ServerFault::inject(kind, Arc::clone(self.store(store)), self.wirings()).await?;
        let record = FaultRecord {
            name: kind.name().to_owned(),
            target: store.to_string(),
            parameters: BTreeMap::new(),
            injected_at_us: self.ledger.clock().now_us(),
            healed_at_us: None,
            bite: fault.bite(),
        };
        Ok(self.enter(record, Held::Server(fault)))
    }

    /// Makes Redis refuse what it is asked for.
    pub async fn refusal(&self, kind: RefusalKind) -> Result<FaultGuard, EnvironmentError> {
        let fault = Refusal::inject(kind, Arc::clone(self.store(StoreKind::Redis))).await?;
        let record = FaultRecord {
            name: kind.name().to_owned(),
            target: StoreKind::Redis.to_string(),
            parameters: BTreeMap::new(),
            injected_at_us: self.ledger.clock().now_us(),
            healed_at_us: None,
            bite: Some(fault.bite()),
        };
        Ok(self.enter(record, Held::Refusal(fault)))
    }

    /// Freezes one instance with all its processes, as a long pause of its machine would.
    pub async fn freeze_instance(
        &self,
        instance: &Arc<Instance>,
    ) -> Result<FaultGuard, EnvironmentError> {
        let fault = FrozenInstance::inject(Arc::clone(instance)).await?;
        let record = FaultRecord {
            name: "freeze".to_owned(),
            target: fault.target(),
            parameters: BTreeMap::new(),
            injected_at_us: self.ledger.clock().now_us(),
            healed_at_us: None,
            bite: fault.bite(),
        };
        Ok(self.enter(record, Held::Instance(fault)))
    }

    /// Puts a network fault between the place of one instance and a store.
    pub async fn network_fault(
        &self,
        wiring: &Wiring,
        store: StoreKind,
        fault: impl Fault,
    ) -> Result<FaultGuard, EnvironmentError> {
        let fault = wiring.proxy(store).inject(fault).await?;
        let record = FaultRecord {
            name: fault.name().to_owned(),
            target: fault.target().to_owned(),
            parameters: fault.parameters().clone(),
            injected_at_us: self.ledger.clock().at_us(fault.injected_at()),
            healed_at_us: None,
            bite: fault.bite(),
        };
        Ok(self.enter(record, Held::Network(fault)))
    }

    /// Enters a fault that was made of many rules and is over, as one: a schedule, for instance.
    pub fn note_fault(&self, record: FaultRecord) {
        let bite = record.bite.clone();
        let place = self.ledger.enter(record);
        self.ledger.complete(place, bite, true);
    }

    fn enter(&self, record: FaultRecord, held: Held) -> FaultGuard {
        let place = self.ledger.enter(record);
        FaultGuard {
            held: Some(held),
            place,
            ledger: Arc::clone(&self.ledger),
        }
    }
}
