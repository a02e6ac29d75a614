//! `blackhole`: packets are dropped, as when a cable is cut or a firewall swallows them.

mod evidence;

use super::{Claims, Fault, Installed, Scope, Site, parameters};
use crate::proxy::error::ProxyError;
use crate::proxy::socket;
use evidence::BlackholeBite;
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// Packets of the subject are dropped before TCP sees them, and nothing is sent to it.
///
/// A socket filter does it, so nothing is acknowledged: `TCP_USER_TIMEOUT` and keepalive fire, and with
/// scope `All` connecting times out, as the listener drops the SYN.
///
/// Some kernels demand `CAP_NET_ADMIN` for a filter. Without it, connecting times out as well (the
/// accept queue is full, so that the kernel drops the SYN), but what is sent on existing connections is
/// left unread instead: nothing is answered, yet the kernel acknowledges until its buffer is full. The
/// parameter `packets` says which: `dropped` or `unread`.
///
/// *Heal*: packets pass again, and keepalive finds out which subjects gave up meanwhile. Existing
/// streams resume intact, when the subject's kernel sends again (its intervals double: 0.2, 0.4, 0.8 s
/// for bytes, 1, 3, 7 s after the SYN). *Bite*: packets that the kernel counted as dropped (a single one
/// on a connection may be an acknowledgement that was under way, and does not count), or bytes that it
/// shows as unread.
#[derive(Debug, Clone, Copy)]
pub struct Blackhole {
    /// Which connections.
    pub scope: Scope,
}

/// What makes packets disappear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Filter,
    Unread,
}

impl Means {
    fn best() -> Self {
        if socket::may_filter() {
            Means::Filter
        } else {
            Means::Unread
        }
    }
}

impl Fault for Blackhole {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        let packets = match Means::best() {
            Means::Filter => "dropped",
            Means::Unread => "unread",
        };
        parameters([
            ("packets", packets.to_owned()),
            ("scope", self.scope.name().to_owned()),
        ])
    }

    fn claims(&self) -> Claims {
        self.scope.claims()
    }

    fn install(self, site: &Site<'_>) -> Result<Installed, ProxyError> {
        let means = Means::best();
        let bite = BlackholeBite::open(site.server.address)
            .map_err(unsupported("netlink sockets (sock_diag)"))?;
        let bite = Arc::new(bite);
        let fillers = match swallow_all(self.scope, means, site, &bite) {
            Ok(fillers) => fillers,
            Err(error) => {
                pass_all(self.scope, means, site, &[]);
                return Err(error);
            }
        };
        let evidence = Arc::clone(&bite);
        let heal = move |site: &Site<'_>| {
            bite.finish();
            pass_all(self.scope, means, site, &fillers);
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

const COUNTERS: &str = "the socket counters of sock_diag";
const FILTERS: &str = "socket filters (SO_ATTACH_FILTER)";
const CLOGGING: &str = "connections to its own listener";

/// Returns the connections of our own that keep the accept queue full.
fn swallow_all(
    scope: Scope,
    means: Means,
    site: &Site<'_>,
    bite: &BlackholeBite,
) -> Result<Vec<TcpStream>, ProxyError> {
    let fillers = match scope {
        Scope::All => swallow_attempts(means, site, bite)?,
        Scope::Existing => {
            site.server.admit_waiting(site.hub);
            Vec::new()
        }
    };
    let mut outcome = Ok(());
    site.server.for_each_live(|connection| {
        let Some(subject) = connection.subject() else {
            return;
        };
        let watched = bite
            .watch(Some(connection.record.subject))
            .map_err(unsupported(COUNTERS));
        let swallowing = watched.and_then(|()| match means {
            Means::Filter => socket::drop_packets(subject).map_err(unsupported(FILTERS)),
            Means::Unread => Ok(()),
        });
        match swallowing {
            Ok(()) => connection.freeze(true),
            Err(error) => outcome = Err(error),
        }
    });
    outcome.map(|()| fillers)
}

/// No SYN is answered from here on: whoever came before is existing.
fn swallow_attempts(
    means: Means,
    site: &Site<'_>,
    bite: &BlackholeBite,
) -> Result<Vec<TcpStream>, ProxyError> {
    if means == Means::Filter {
        bite.watch(None).map_err(unsupported(COUNTERS))?;
        let dropping = site.server.with_listener(socket::drop_packets);
        dropping.unwrap_or(Ok(())).map_err(unsupported(FILTERS))?;
        site.server.admit_waiting(site.hub);
        return Ok(Vec::new());
    }
    site.server.accept_nothing(true);
    site.server.admit_waiting(site.hub);
    let clogged = site.server.with_listener(socket::clog);
    let fillers = clogged
        .unwrap_or(Ok(Vec::new()))
        .map_err(unsupported(CLOGGING))?;
    bite.watch(None).map_err(unsupported(COUNTERS))?;
    Ok(fillers)
}

/// Undoing fails only where nothing was done.
fn pass_all(scope: Scope, means: Means, site: &Site<'_>, fillers: &[TcpStream]) {
    if scope == Scope::All && means == Means::Filter {
        let _ = site.server.with_listener(socket::pass_packets);
    }
    if scope == Scope::All && means == Means::Unread {
        let _ = site.server.with_listener(socket::unclog);
        let own: Vec<SocketAddr> = fillers.iter().flat_map(TcpStream::local_addr).collect();
        site.server.admit_waiting_but(&own, site.hub);
        site.server.accept_nothing(false);
    }
    site.server.for_each_live(|connection| {
        if let (Some(subject), Means::Filter) = (connection.subject(), means) {
            let _ = socket::pass_packets(subject);
            let _ = socket::probe_peer(subject);
        }
        connection.freeze(false);
    });
}
