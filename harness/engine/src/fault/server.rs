//! Faults of a whole server: it is stopped, killed or frozen, for every instance at once.

use crate::environment::EnvironmentError;
use crate::instance::Wiring;
use crate::poll::{Look, poll_until};
use crate::proxy::{NetworkFault, Refuse};
use crate::store::{ServerState, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// How long a started server may take until its port can be connected to.
const LISTEN_DEADLINE: Duration = Duration::from_secs(10);
const LISTEN_POLL: Duration = Duration::from_millis(2);

/// What is done to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerFaultKind {
    /// Ended politely, its port refused meanwhile. Heals by a start on the same data.
    Stop,
    /// Killed, its port refused meanwhile. Heals by a start on the same data.
    Kill,
    /// Stopped in its tracks: connections are accepted, nothing is answered. Heals by going on.
    Freeze,
}

impl ServerFaultKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            ServerFaultKind::Stop => "stop",
            ServerFaultKind::Kill => "kill",
            ServerFaultKind::Freeze => "freeze",
        }
    }

    fn leads_to(self) -> ServerState {
        match self {
            ServerFaultKind::Stop | ServerFaultKind::Kill => ServerState::Gone,
            ServerFaultKind::Freeze => ServerState::Frozen,
        }
    }
}

/// A server fault in force.
#[derive(Debug)]
pub(super) struct ServerFault {
    kind: ServerFaultKind,
    store: Arc<Store>,
    wirings: Vec<Arc<Wiring>>,
    refusals: Vec<NetworkFault>,
    bite: Option<String>,
}

impl ServerFault {
    /// Does it, and reads back that it is so.
    pub(super) async fn inject(
        kind: ServerFaultKind,
        store: Arc<Store>,
        wirings: Vec<Arc<Wiring>>,
    ) -> Result<Self, EnvironmentError> {
        match kind {
            ServerFaultKind::Stop => store.stop().await?,
            ServerFaultKind::Kill => store.kill().await?,
            ServerFaultKind::Freeze => store.freeze().await?,
        }
        let mut fault = Self {
            kind,
            store,
            wirings,
            refusals: Vec::new(),
            bite: None,
        };
        if kind.leads_to() == ServerState::Gone {
            // A stopped server's port refuses; the proxy in front of it must do the same.
            for wiring in &fault.wirings {
                let proxy = wiring.proxy(fault.store.kind());
                fault.refusals.push(proxy.inject(Refuse).await?);
            }
        }
        let state = fault.store.state().await?;
        if state == kind.leads_to() {
            fault.bite = Some(format!("the server's state, read back, is {state}"));
        }
        Ok(fault)
    }

    pub(super) fn bite(&self) -> Option<String> {
        self.bite.clone()
    }

    /// Undoes it. Returns when the server can be connected to again; not when it is ready.
    pub(super) async fn heal(mut self) -> Result<(), EnvironmentError> {
        if self.kind == ServerFaultKind::Freeze {
            return Ok(self.store.thaw().await?);
        }
        self.store.start().await?;
        wait_listening(&self.store).await?;
        for wiring in &self.wirings {
            wiring.lead_to(&self.store).await?;
        }
        for refusal in &mut self.refusals {
            refusal.heal().await?;
        }
        Ok(())
    }
}

/// Before the server listens, a connection is refused; through an open proxy it would be accepted and
/// reset instead. So the proxy opens when the server does.
async fn wait_listening(store: &Store) -> Result<(), StoreError> {
    let listening = poll_until(
        "the server to listen",
        LISTEN_DEADLINE,
        LISTEN_POLL,
        || async {
            let Some(address) = store.address().await else {
                return Look::NotYet("no address".to_owned());
            };
            match tokio::net::TcpStream::connect(address).await {
                Ok(_) => Look::Ready(()),
                Err(error) => Look::NotYet(error.to_string()),
            }
        },
    );
    match listening.await {
        Ok(()) => Ok(()),
        Err(timeout) => {
            let log_tail = store.logs().await.unwrap_or_default();
            Err(StoreError::NotReady {
                kind: store.kind(),
                timeout,
                log_tail,
            })
        }
    }
}
