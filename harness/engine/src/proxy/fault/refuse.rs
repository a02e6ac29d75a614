//! `refuse`: nothing listens, as when the store is stopped.

use super::{Claims, Evidence, Fault, Installed, Site};
use crate::proxy::connection::Closing;
use crate::proxy::error::ProxyError;
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// On loopback a refusal comes at once.
const PROBE_DEADLINE: Duration = Duration::from_millis(200);

/// New connections get `ECONNREFUSED`; existing ones are reset. The port stays ours.
///
/// *Heal*: the port is listened on again; nothing is brought back.
///
/// *Bite*: a closed listener hears of no attempt, so the proxy tries one itself and sees it refused;
/// with it, how many connections were reset.
#[derive(Debug, Clone, Copy)]
pub struct Refuse;

struct RefuseBite {
    cut_connections: u64,
}

impl Evidence for RefuseBite {
    fn bite(&self) -> Option<String> {
        // Only made when the probe was refused.
        Some(format!(
            "a connection tried by the proxy itself was refused; {} connections were reset",
            self.cut_connections
        ))
    }
}

impl Fault for Refuse {
    fn name(&self) -> &'static str {
        "refuse"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn claims(&self) -> Claims {
        Claims::ALL
    }

    fn install(self, site: &Site<'_>) -> Result<Installed, ProxyError> {
        // Those in the accept queue are cut, and recorded, like the others.
        site.server.admit_waiting(site.hub);
        site.server.stop_listening();
        let cut_connections = site.server.cut_all(Closing::Reset, site.hub);
        if let Err(seen) = see_refusal(site.server.address) {
            site.server.listen_again()?;
            return Err(ProxyError::NotInForce {
                fault: "refuse",
                seen,
            });
        }
        Ok(Installed {
            evidence: Arc::new(RefuseBite { cut_connections }),
            heal: Some(Box::new(|site| site.server.listen_again())),
        })
    }
}

fn see_refusal(address: SocketAddr) -> Result<(), String> {
    match TcpStream::connect_timeout(&address, PROBE_DEADLINE) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(format!("a connection to {address} ended in `{error}`")),
        Ok(_) => Err(format!("a connection to {address} was accepted")),
    }
}
