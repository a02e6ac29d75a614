//! `slow-close`: the end of a stream comes late.

use super::line::{Direction, LineFault, Seat};
use super::shaper::Shaper;
use super::{Evidence, parameters};
use crate::proxy::queue::{Chunk, Item};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Passes the end of a stream on that much later; its bytes pass at once.
///
/// *Heal*: an end that is held back passes. *Bite*: how many were held back.
#[derive(Debug, Clone, Copy)]
pub struct SlowClose {
    /// How much later.
    pub delay: Duration,
    /// Which way the end goes: with `Down`, the store's end reaches the subject late.
    pub direction: Direction,
}

/// What a slow close has done.
#[derive(Default)]
pub struct SlowCloseBite {
    ends: AtomicU64,
}

impl Evidence for SlowCloseBite {
    fn bite(&self) -> Option<String> {
        let ends = self.ends.load(Ordering::Relaxed);
        (ends > 0).then(|| format!("{ends} ends of streams were held back"))
    }
}

impl LineFault for SlowClose {
    type Bite = SlowCloseBite;

    fn name(&self) -> &'static str {
        "slow-close"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        parameters([
            ("delay_us", self.delay.as_micros().to_string()),
            ("direction", self.direction.name().to_owned()),
        ])
    }

    fn apply(&self, seat: &mut Seat<'_, SlowCloseBite>) {
        let (fault_id, bite) = (seat.fault_id, Arc::clone(seat.bite));
        seat.shape(self.direction, |_| LateEnd {
            fault_id,
            delay: self.delay,
            bite: Arc::clone(&bite),
        });
    }
}

/// A slow close in force on one flow.
struct LateEnd {
    fault_id: u64,
    delay: Duration,
    bite: Arc<SlowCloseBite>,
}

impl Shaper for LateEnd {
    fn fault_id(&self) -> u64 {
        self.fault_id
    }

    fn shape(&mut self, chunk: Chunk, out: &mut Vec<Item>) {
        out.push(Item::Bytes(chunk));
    }

    fn end_due(&mut self, earliest: Instant) -> Option<Instant> {
        self.bite.ends.fetch_add(1, Ordering::Relaxed);
        Some(earliest + self.delay)
    }
}
