//! `latency`: every byte arrives later, in order, as on a longer line.

use super::line::{Direction, LineFault, Seat};
use super::shaper::Shaper;
use super::{Evidence, parameters};
use crate::proxy::delay::Delay;
use crate::proxy::queue::{Chunk, Item};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use touchstone_core::Seed;

/// Holds back whatever is read for a delay that is drawn for each chunk.
///
/// Bytes that follow each other are each delayed, not one after the other, and never overtake. The
/// end of a stream is delayed too; the handshake is not. Several latencies add up. A flow holds back
/// at most 4 MiB, then the source feels back-pressure.
///
/// *Heal*: what is held back is let go at once. *Bite*: how many chunks were held back, how long.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// How long a chunk is held back.
    pub delay: Delay,
    /// Which way.
    pub direction: Direction,
}

/// What a latency has done.
#[derive(Default)]
pub struct LatencyBite {
    held: AtomicU64,
    chunks: AtomicU64,
    shortest_us: AtomicU64,
    longest_us: AtomicU64,
}

impl Evidence for LatencyBite {
    fn bite(&self) -> Option<String> {
        let chunks = self.chunks.load(Ordering::Acquire);
        let shortest_us = self.shortest_us.load(Ordering::Relaxed);
        let longest_us = self.longest_us.load(Ordering::Relaxed);
        let held = self.held.load(Ordering::Relaxed);
        // A subject that ends while its bytes are held back was bitten, too.
        let none_passed =
            (held > 0).then(|| format!("{held} chunks were held back, none passed yet"));
        let passed =
            || format!("{chunks} chunks were held back for {shortest_us} to {longest_us} us");
        if chunks > 0 {
            Some(passed())
        } else {
            none_passed
        }
    }
}

impl LatencyBite {
    fn note(&self, held: Duration) {
        let held_us = u64::try_from(held.as_micros()).unwrap_or(u64::MAX);
        // One writer: the proxy's thread.
        if self.chunks.load(Ordering::Relaxed) == 0 {
            self.shortest_us.store(held_us, Ordering::Relaxed);
        }
        self.shortest_us.fetch_min(held_us, Ordering::Relaxed);
        self.longest_us.fetch_max(held_us, Ordering::Relaxed);
        self.chunks.fetch_add(1, Ordering::Release);
    }
}

impl LineFault for Latency {
    type Bite = LatencyBite;

    fn name(&self) -> &'static str {
        "latency"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        parameters([
            ("delay_us", self.delay.base.as_micros().to_string()),
            ("jitter_us", self.delay.jitter.as_micros().to_string()),
            ("distribution", self.delay.distribution.name().to_owned()),
            ("direction", self.direction.name().to_owned()),
        ])
    }

    fn apply(&self, seat: &mut Seat<'_, LatencyBite>) {
        let (fault_id, bite) = (seat.fault_id, Arc::clone(seat.bite));
        seat.shape(self.direction, |seed| {
            FlowDelay::new(fault_id, self.delay, seed, Arc::clone(&bite))
        });
    }
}

/// A latency in force on one flow.
struct FlowDelay {
    fault_id: u64,
    delay: Delay,
    rng: ChaCha8Rng,
    bite: Arc<LatencyBite>,
}

impl FlowDelay {
    fn new(fault_id: u64, delay: Delay, seed: Seed, bite: Arc<LatencyBite>) -> Self {
        Self {
            fault_id,
            delay,
            rng: seed.rng(),
            bite,
        }
    }

    /// For how long the next chunk is held back.
    fn draw(&mut self) -> Duration {
        self.bite.held.fetch_add(1, Ordering::Relaxed);
        self.delay.draw(&mut self.rng)
    }
}

impl Shaper for FlowDelay {
    fn fault_id(&self) -> u64 {
        self.fault_id
    }

    fn shape(&mut self, mut chunk: Chunk, out: &mut Vec<Item>) {
        chunk.due = Some(chunk.due.unwrap_or(chunk.read_at) + self.draw());
        out.push(Item::Bytes(chunk));
    }

    fn end_due(&mut self, earliest: Instant) -> Option<Instant> {
        Some(earliest + self.draw())
    }

    fn passed(&self, held: Duration) {
        self.bite.note(held);
    }
}
