//! `reset-peer`: after a time the connection is reset, as by a peer that has restarted.

use super::line::{LineFault, Seat};
use super::{Evidence, parameters};
use crate::proxy::connection::Closing;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Resets each connection after a time, also an idle one; until then everything passes. The time begins when the
/// fault is in force, for a new connection when it begins. The subject sees the reset, the store an orderly end.
///
/// *Heal*: connections live on; those that were reset stay so. *Bite*: how many were reset.
#[derive(Debug, Clone, Copy)]
pub struct ResetPeer {
    /// After which time; with zero, at once.
    pub after: Duration,
}

/// What a reset has done.
#[derive(Default)]
pub struct ResetPeerBite {
    connections: Arc<AtomicU64>,
}

impl Evidence for ResetPeerBite {
    fn bite(&self) -> Option<String> {
        let connections = self.connections.load(Ordering::Relaxed);
        (connections > 0).then(|| format!("{connections} connections were reset"))
    }
}

impl LineFault for ResetPeer {
    type Bite = ResetPeerBite;

    fn name(&self) -> &'static str {
        "reset-peer"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        parameters([("after_ms", self.after.as_millis().to_string())])
    }

    fn apply(&self, seat: &mut Seat<'_, ResetPeerBite>) {
        let counter = Arc::clone(&seat.bite.connections);
        seat.end_after(self.after, Closing::Reset, counter);
    }
}
