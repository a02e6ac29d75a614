//! `latency`: every byte arrives later, in order, as on a longer line.

use super::shaper::{FlowRule, Shaper, heal_flow_rule, install_flow_rule};
use super::{Claims, Evidence, Fault, Installed, Site, parameters};
use crate::proxy::connection::Connection;
use crate::proxy::error::ProxyError;
use crate::proxy::queue::{Chunk, Item};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use touchstone_core::Seed;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the subject to the store.
    Up,
    /// From the store to the subject.
    Down,
    /// Both; a round trip then takes twice the delay.
    Both,
}

/// Holds back whatever is read for `delay` plus a uniform choice from zero to `jitter`, per chunk.
///
/// Bytes that follow each other are each delayed, not one after the other, and never overtake. The
/// end of a stream is delayed too; the handshake is not. Several latencies add up. A flow holds back
/// at most 4 MiB, then the source feels back-pressure.
///
/// *Heal*: what is held back is let go at once. *Bite*: how many chunks were held back, how long.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// The least that a chunk is held back.
    pub delay: Duration,
    /// The most that is added to it.
    pub jitter: Duration,
    /// Which way.
    pub direction: Direction,
}

#[derive(Default)]
pub(crate) struct LatencyBite {
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

/// A latency in force on a proxy, to be applied to its connections.
pub(crate) struct LatencyRule {
    fault_id: u64,
    spec: Latency,
    seed: Seed,
    bite: Arc<LatencyBite>,
}

impl FlowRule for LatencyRule {
    fn fault_id(&self) -> u64 {
        self.fault_id
    }

    fn apply(&self, connection: &mut Connection) {
        let id = connection.record.id;
        if self.spec.direction != Direction::Down {
            let delay = self.delay(&format!("up {id}"));
            connection.up.shapers.push(Box::new(delay));
        }
        if self.spec.direction != Direction::Up {
            let delay = self.delay(&format!("down {id}"));
            connection.down.shapers.push(Box::new(delay));
        }
    }
}

impl LatencyRule {
    /// Each flow has a generator of its own: what one draws does not depend on the others.
    fn delay(&self, flow: &str) -> FlowDelay {
        FlowDelay {
            fault_id: self.fault_id,
            delay: self.spec.delay,
            jitter_ns: u64::try_from(self.spec.jitter.as_nanos()).unwrap_or(u64::MAX),
            rng: self.seed.derive(flow).rng(),
            bite: Arc::clone(&self.bite),
        }
    }
}

/// A latency in force on one flow.
pub(crate) struct FlowDelay {
    fault_id: u64,
    delay: Duration,
    jitter_ns: u64,
    rng: ChaCha8Rng,
    bite: Arc<LatencyBite>,
}

impl FlowDelay {
    /// For how long the next chunk is held back.
    fn draw(&mut self) -> Duration {
        self.bite.held.fetch_add(1, Ordering::Relaxed);
        let jitter_ns = match self.jitter_ns {
            0 => 0,
            most => self.rng.random_range(0..=most),
        };
        self.delay + Duration::from_nanos(jitter_ns)
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

impl Fault for Latency {
    fn name(&self) -> &'static str {
        "latency"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        let direction = match self.direction {
            Direction::Up => "up",
            Direction::Down => "down",
            Direction::Both => "both",
        };
        parameters([
            ("delay_us", self.delay.as_micros().to_string()),
            ("jitter_us", self.jitter.as_micros().to_string()),
            ("direction", direction.to_owned()),
        ])
    }

    fn claims(&self) -> Claims {
        Claims::NOTHING
    }

    fn install(self, site: &Site<'_>) -> Result<Installed, ProxyError> {
        let bite = Arc::new(LatencyBite::default());
        let rule = LatencyRule {
            fault_id: site.fault_id,
            spec: self,
            seed: site
                .server
                .seed
                .derive(&format!("latency {}", site.fault_id)),
            bite: Arc::clone(&bite),
        };
        install_flow_rule(site, Box::new(rule));
        Ok(Installed {
            evidence: bite,
            heal: Some(Box::new(heal_flow_rule)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(seed: u64, flow: &str) -> Vec<Duration> {
        let (delay, jitter) = (Duration::from_millis(10), Duration::from_millis(5));
        let spec = Latency {
            delay,
            jitter,
            direction: Direction::Both,
        };
        let rule = LatencyRule {
            fault_id: 0,
            spec,
            seed: Seed(seed),
            bite: Arc::default(),
        };
        let mut delay = rule.delay(flow);
        (0..100).map(|_| delay.draw()).collect()
    }

    #[test]
    fn jitter_stays_in_its_bounds_and_repeats_from_the_seed() {
        let (least, most) = (Duration::from_millis(10), Duration::from_millis(15));
        assert!(
            draws(1, "up 0")
                .iter()
                .all(|draw| (least..=most).contains(draw))
        );
        assert_eq!(draws(1, "up 0"), draws(1, "up 0"));
        assert_ne!(draws(1, "up 0"), draws(2, "up 0"));
        assert_ne!(draws(1, "up 0"), draws(1, "down 0"));
    }
}
