//! Free loopback ports for servers that must be told their port before they start.
//!
//! Taken from below the kernel's ephemeral range (32768 and up on Linux): a port in that range can be
//! taken by any outgoing connection between our look and the server's bind, one below it only by
//! another listener.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 15_000;
const COUNT: u32 = 17_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// No port could be had.
#[derive(Debug, thiserror::Error)]
#[error("no free loopback port between {FIRST} and {}; end what listens there", FIRST + COUNT)]
pub struct NoFreePort;

/// A port that nobody listens on now, and that this process has not handed out before the range is
/// used up. Processes begin at different places, so that parallel runs rarely look at the same port.
pub fn free_port() -> Result<u16, NoFreePort> {
    // A stride far from 1 spreads consecutive process ids over the range.
    let offset = std::process::id().wrapping_mul(7919);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + offset.wrapping_add(step) % COUNT;
        let port = u16::try_from(port).expect("FIRST + COUNT fits in 16 bits");
        if is_free(port) {
            return Ok(port);
        }
    }
    Err(NoFreePort)
}

/// Whether nobody listens on this loopback port.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_not_handed_out() {
        let first = free_port().expect("a port");
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("bind");
        assert!(!is_free(first));
        assert_ne!(free_port().expect("another"), first);
    }
}
