//! `timeout`: nothing passes, and after a time the connection is closed.

use super::line::{Direction, LineFault, Seat};
use super::shaper::Shaper;
use super::{Evidence, parameters};
use crate::proxy::connection::Closing;
use crate::proxy::queue::{Chunk, Item};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is sent in a direction is acknowledged and thrown away; after a time the connection is closed, orderly,
/// also an idle one. The time begins when the fault is in force, for a new connection when it begins.
///
/// *Heal*: connections that lost bytes are reset, as a stream with a hole cannot go on; the others go on. *Bite*:
/// bytes thrown away, connections closed.
#[derive(Debug, Clone, Copy)]
pub struct Timeout {
    /// After which time a connection is closed; with zero, never.
    pub after: Duration,
    /// Which way nothing passes.
    pub direction: Direction,
}

/// What a timeout has done.
#[derive(Default)]
pub struct TimeoutBite {
    bytes: AtomicU64,
    closed: Arc<AtomicU64>,
}

impl Evidence for TimeoutBite {
    fn bite(&self) -> Option<String> {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let closed = self.closed.load(Ordering::Relaxed);
        (bytes + closed > 0)
            .then(|| format!("{bytes} bytes were thrown away, {closed} connections closed"))
    }
}

impl LineFault for Timeout {
    type Bite = TimeoutBite;

    fn name(&self) -> &'static str {
        "timeout"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        parameters([
            ("after_ms", self.after.as_millis().to_string()),
            ("direction", self.direction.name().to_owned()),
        ])
    }

    fn apply(&self, seat: &mut Seat<'_, TimeoutBite>) {
        let (fault_id, bite) = (seat.fault_id, Arc::clone(seat.bite));
        seat.shape(self.direction, |_| Hole {
            fault_id,
            has_lost_bytes: false,
            bite: Arc::clone(&bite),
        });
        if !self.after.is_zero() {
            let counter = Arc::clone(&seat.bite.closed);
            seat.end_after(self.after, Closing::Fin, counter);
        }
    }
}

/// A timeout in force on one flow.
struct Hole {
    fault_id: u64,
    has_lost_bytes: bool,
    bite: Arc<TimeoutBite>,
}

impl Shaper for Hole {
    fn fault_id(&self) -> u64 {
        self.fault_id
    }

    fn shape(&mut self, chunk: Chunk, _out: &mut Vec<Item>) {
        self.has_lost_bytes = true;
        let size = chunk.bytes.len() as u64;
        self.bite.bytes.fetch_add(size, Ordering::Relaxed);
    }

    fn has_lost_bytes(&self) -> bool {
        self.has_lost_bytes
    }
}
