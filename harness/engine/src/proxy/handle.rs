//! A proxy as the rest of the harness sees it.

use super::error::ProxyError;
use super::fault::{Fault, NetworkFault};
use super::record::{ConnectionRecord, Counters};
use super::server::Server;
use super::tap::{Heard, Trace};
use super::thread::{Hub, Link};
use super::tls::Tls;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::sync::oneshot;
use touchstone_core::Seed;
use touchstone_wire::Lost;

/// What a proxy is opened with.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Names it in records and messages, for instance `redis of instance 0`.
    pub name: String,
    /// What every random choice of its faults follows from.
    pub seed: Seed,
    /// What its bytes mean.
    pub protocol: Protocol,
    /// Where it listens, IPv4. `None`, or port 0: on a free port of loopback, or of that address.
    pub listen: Option<SocketAddr>,
}

/// What the bytes of a proxy mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RESP, version 2 or 3.
    Redis,
    /// Postgres, protocol 3.
    Postgres,
    /// Nothing is decoded; rules cannot be put in force.
    Opaque,
}

/// A TCP proxy with an address that never changes. Closes on drop.
///
/// Every call that changes something returns when the change is in force.
#[derive(Debug)]
pub struct Proxy {
    link: Link,
    id: u64,
    name: String,
    address: SocketAddr,
}

impl Proxy {
    pub(crate) fn new(link: Link, id: u64, name: String, address: SocketAddr) -> Self {
        Self {
            link,
            id,
            name,
            address,
        }
    }

    /// Where the subject finds the store; the same for as long as the proxy lives.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name it was opened with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where new connections lead from now on; with `None` they are reset. Existing ones stay.
    pub async fn set_upstream(&self, upstream: Option<SocketAddr>) -> Result<(), ProxyError> {
        self.call(move |server, _| server.set_upstream(upstream))
            .await
    }

    /// How new connections treat TLS from now on. Existing ones stay as they are.
    pub async fn set_tls(&self, tls: Tls) -> Result<(), ProxyError> {
        self.call(move |server, _| server.set_tls(tls)).await
    }

    /// Puts a fault in force. It heals when the guard is dropped.
    pub async fn inject(&self, fault: impl Fault) -> Result<NetworkFault, ProxyError> {
        let (name, parameters) = (fault.name(), fault.parameters());
        let (link, id, target) = (self.link.clone(), self.id, format!("proxy {}", self.name));
        let (reply, answer) = oneshot::channel();
        self.link.send(move |hub| {
            let outcome = match hub.server(id) {
                None => Err(ProxyError::Gone),
                Some(server) => server.inject(hub, fault).map(|injected| {
                    NetworkFault::new(link, id, name, target, parameters, injected)
                }),
            };
            // Nobody waits any more: nothing would ever heal it. (A guard that is dropped here would
            // wait for the thread it is on.)
            if let Err(Ok(guard)) = reply.send(outcome) {
                guard.abandon(hub);
            }
        })?;
        answer.await.map_err(|_| ProxyError::Gone)?
    }

    /// Every connection so far, oldest first: each is an attempt, with its times and its end.
    pub async fn connections(&self) -> Result<Vec<ConnectionRecord>, ProxyError> {
        self.call(|server, _| server.records()).await
    }

    /// Totals so far.
    pub async fn counters(&self) -> Result<Counters, ProxyError> {
        self.call(|server, _| server.counters.get()).await
    }

    /// How many connections are open.
    pub async fn open_connections(&self) -> Result<u64, ProxyError> {
        self.call(|server, _| {
            let mut open = 0;
            server.for_each_live(|connection| open += u64::from(!connection.is_closed()));
            open
        })
        .await
    }

    /// The place that the next command will have in the trace: a begin for [`Proxy::trace`].
    pub async fn trace_mark(&self) -> Result<u64, ProxyError> {
        self.call(|server, _| server.lookout.next()).await
    }

    /// The commands seen from a place on (0: all), each with its reply if that has come.
    pub async fn trace(&self, since: u64) -> Result<Trace, ProxyError> {
        self.call(move |server, _| server.lookout.trace_since(since))
            .await
    }

    /// All that was decoded so far, for an audit.
    pub async fn heard(&self) -> Result<Heard, ProxyError> {
        self.call(|server, _| server.lookout.heard()).await
    }

    /// Connections that could not be decoded to their end, by number, and why.
    pub async fn undecoded(&self) -> Result<Vec<(u64, Lost)>, ProxyError> {
        self.call(|server, _| server.lookout.undecoded()).await
    }

    async fn call<R: Send + 'static>(
        &self,
        call: impl FnOnce(&Rc<Server>, &Rc<Hub>) -> R + Send + 'static,
    ) -> Result<R, ProxyError> {
        let id = self.id;
        let called = self
            .link
            .call(move |hub| hub.server(id).map(|server| call(&server, hub)));
        called.await?.ok_or(ProxyError::Gone)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let id = self.id;
        self.link.call_blocking(move |hub| {
            if let Some(server) = hub.remove(id) {
                server.close();
            }
        });
    }
}
