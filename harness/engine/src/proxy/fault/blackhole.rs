//! `blackhole`: packets are dropped, as when a cable is cut or a firewall swallows them.

use super::{Claims, Evidence, Fault, Installed, Scope, Site, parameters};
use crate::proxy::drops::DropCounter;
use crate::proxy::error::ProxyError;
use crate::proxy::socket;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Packets of the subject are dropped before TCP sees them, and nothing is sent to it.
///
/// A socket filter does it, so nothing is acknowledged: `TCP_USER_TIMEOUT` and keepalive fire, and with
/// scope `All` connecting times out, as the listener drops the SYN.
///
/// *Heal*: packets pass again, and keepalive finds out which subjects gave up meanwhile. Existing streams resume intact, when the subject's kernel sends again
/// (its intervals double: 0.2, 0.4, 0.8 s for bytes, 1, 3, 7 s after the SYN). *Bite*: packets that
/// the kernel counted as dropped; a single one on a connection may be an acknowledgement that was
/// under way, and does not count.
#[derive(Debug, Clone, Copy)]
pub struct Blackhole {
    /// Which connections.
    pub scope: Scope,
}

struct Watched {
    /// `None` for the listener.
    peer: Option<SocketAddr>,
    before: u32,
    latest: u32,
}

struct Drops {
    counter: DropCounter,
    watched: Vec<Watched>,
    is_over: bool,
}

struct BlackholeBite {
    local: SocketAddr,
    drops: Mutex<Drops>,
}

impl BlackholeBite {
    fn lock(&self) -> MutexGuard<'_, Drops> {
        self.drops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a socket's drops from here on.
    fn watch(&self, peer: Option<SocketAddr>) -> io::Result<()> {
        let mut drops = self.lock();
        if let Some(before) = drops.counter.drops(self.local, peer)? {
            drops.watched.push(Watched {
                peer,
                before,
                latest: before,
            });
        }
        Ok(())
    }
}

impl Drops {
    /// A socket that is gone keeps its latest count.
    fn refresh(&mut self, local: SocketAddr) {
        if self.is_over {
            return;
        }
        for watched in &mut self.watched {
            if let Ok(Some(latest)) = self.counter.drops(local, watched.peer) {
                watched.latest = latest;
            }
        }
    }
}

impl Evidence for BlackholeBite {
    fn bite(&self) -> Option<String> {
        let mut drops = self.lock();
        drops.refresh(self.local);
        let (mut attempts, mut packets, mut connections) = (0, 0, 0);
        for watched in &drops.watched {
            let dropped = watched.latest.wrapping_sub(watched.before);
            match watched.peer {
                None => attempts += dropped,
                Some(_) if dropped < 2 => {}
                Some(_) => {
                    packets += dropped;
                    connections += 1;
                }
            }
        }
        (attempts + packets > 0).then(|| {
            format!(
                "{packets} packets of {connections} connections and {attempts} packets of attempts \
                 to connect were dropped"
            )
        })
    }
}

impl Fault for Blackhole {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        parameters([("scope", self.scope.name().to_owned())])
    }

    fn claims(&self) -> Claims {
        self.scope.claims()
    }

    fn install(self, site: &Site<'_>) -> Result<Installed, ProxyError> {
        let counter = DropCounter::open().map_err(unsupported("netlink sockets (sock_diag)"))?;
        let drops = Drops {
            counter,
            watched: Vec::new(),
            is_over: false,
        };
        let bite = Arc::new(BlackholeBite {
            local: site.server.address,
            drops: Mutex::new(drops),
        });
        if let Err(error) = drop_all(self.scope, site, &bite) {
            pass_all(self.scope, site);
            return Err(error);
        }
        let evidence = Arc::clone(&bite);
        let heal = move |site: &Site<'_>| {
            let mut drops = bite.lock();
            drops.refresh(bite.local);
            drops.is_over = true;
            pass_all(self.scope, site);
            Ok(())
        };
        Ok(Installed {
            evidence,
            heal: Some(Box::new(heal)),
        })
    }
}

fn unsupported(needs: &'static str) -> impl FnOnce(io::Error) -> ProxyError {
    move |source| ProxyError::Unsupported {
        fault: "blackhole",
        needs,
        source,
    }
}

fn drop_all(scope: Scope, site: &Site<'_>, bite: &BlackholeBite) -> Result<(), ProxyError> {
    const COUNTERS: &str = "the packet counters of sock_diag";
    const FILTERS: &str = "socket filters (SO_ATTACH_FILTER)";
    if scope == Scope::All {
        bite.watch(None).map_err(unsupported(COUNTERS))?;
        let dropping = site.server.with_listener(socket::drop_packets);
        dropping.unwrap_or(Ok(())).map_err(unsupported(FILTERS))?;
    }
    // After the listener drops packets: whoever came before that is existing.
    site.server.admit_waiting(site.hub);
    let mut outcome = Ok(());
    site.server.for_each_live(|connection| {
        let Some(subject) = connection.subject() else {
            return;
        };
        let dropping = bite
            .watch(Some(connection.record.subject))
            .map_err(unsupported(COUNTERS))
            .and_then(|()| socket::drop_packets(subject).map_err(unsupported(FILTERS)));
        match dropping {
            Ok(()) => connection.freeze(true),
            Err(error) => outcome = Err(error),
        }
    });
    outcome
}

/// Detaching fails only where nothing was attached.
fn pass_all(scope: Scope, site: &Site<'_>) {
    if scope == Scope::All {
        let _ = site.server.with_listener(socket::pass_packets);
    }
    site.server.for_each_live(|connection| {
        if let Some(subject) = connection.subject() {
            let _ = socket::pass_packets(subject);
            let _ = socket::probe_peer(subject);
        }
        connection.freeze(false);
    });
}
