//! `slicer`: bytes arrive in small pieces, as TCP is free to deliver them.

use super::line::{Direction, LineFault, Seat};
use super::shaper::Shaper;
use super::{Evidence, parameters};
use crate::proxy::queue::{Chunk, Item};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Cuts what is read into pieces, each sent by itself.
///
/// The way of Toxiproxy: a chunk is halved, the middle shifted by up to the variation, until the pieces have no more
/// than the average and the variation together. With a pause, each piece passes that long after the one before.
/// Without one the receiver's kernel may join pieces that it has not handed out yet.
///
/// *Heal*: what is held back is let go at once. *Bite*: how many pieces came of how many chunks.
#[derive(Debug, Clone, Copy)]
pub struct Slicer {
    /// Bytes of a piece, about; at least 1.
    pub average_bytes: u32,
    /// How many bytes a piece may have more; below the average, or it is taken as that less one.
    pub variation_bytes: u32,
    /// Between a piece and the next.
    pub pause: Duration,
    /// Which way.
    pub direction: Direction,
}

/// What a slicer has done.
#[derive(Default)]
pub struct SlicerBite {
    chunks: AtomicU64,
    pieces: AtomicU64,
}

impl Evidence for SlicerBite {
    fn bite(&self) -> Option<String> {
        let chunks = self.chunks.load(Ordering::Relaxed);
        let pieces = self.pieces.load(Ordering::Relaxed);
        (chunks > 0).then(|| format!("{chunks} chunks were cut into {pieces} pieces"))
    }
}

impl LineFault for Slicer {
    type Bite = SlicerBite;

    fn name(&self) -> &'static str {
        "slicer"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        parameters([
            ("average_bytes", self.average_bytes.to_string()),
            ("variation_bytes", self.variation_bytes.to_string()),
            ("pause_us", self.pause.as_micros().to_string()),
            ("direction", self.direction.name().to_owned()),
        ])
    }

    fn apply(&self, seat: &mut Seat<'_, SlicerBite>) {
        let (fault_id, bite) = (seat.fault_id, Arc::clone(seat.bite));
        let average = (self.average_bytes as usize).max(1);
        seat.shape(self.direction, |seed| Slices {
            fault_id,
            average,
            variation: (self.variation_bytes as usize).min(average - 1),
            pause: self.pause,
            next_at: None,
            rng: seed.rng(),
            bite: Arc::clone(&bite),
        });
    }
}

/// A slicer in force on one flow.
struct Slices {
    fault_id: u64,
    average: usize,
    variation: usize,
    pause: Duration,
    /// Not before then, as the piece before has passed only just.
    next_at: Option<Instant>,
    rng: ChaCha8Rng,
    bite: Arc<SlicerBite>,
}

impl Slices {
    /// Sizes of the pieces of so many bytes, in order.
    fn cut(&mut self, bytes: usize, sizes: &mut Vec<usize>) {
        if bytes <= self.average + self.variation {
            return sizes.push(bytes);
        }
        let middle = bytes / 2 + self.rng.random_range(0..=2 * self.variation);
        let middle = middle.saturating_sub(self.variation).clamp(1, bytes - 1);
        self.cut(middle, sizes);
        self.cut(bytes - middle, sizes);
    }
}

impl Shaper for Slices {
    fn fault_id(&self) -> u64 {
        self.fault_id
    }

    fn shape(&mut self, mut chunk: Chunk, out: &mut Vec<Item>) {
        let mut sizes = Vec::new();
        self.cut(chunk.bytes.len(), &mut sizes);
        if sizes.len() > 1 {
            self.bite.chunks.fetch_add(1, Ordering::Relaxed);
            self.bite
                .pieces
                .fetch_add(sizes.len() as u64, Ordering::Relaxed);
        }
        for size in sizes {
            let mut due = chunk.due;
            if !self.pause.is_zero() {
                let at = due.unwrap_or(chunk.read_at);
                let at = self.next_at.map_or(at, |next_at| next_at.max(at));
                self.next_at = Some(at + self.pause);
                due = Some(at);
            }
            out.push(Item::Bytes(Chunk {
                bytes: chunk.bytes.split_to(size),
                read_at: chunk.read_at,
                due,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use touchstone_core::Seed;

    fn sizes(bytes: usize, average: usize, variation: usize, seed: u64) -> Vec<usize> {
        let mut slices = Slices {
            fault_id: 0,
            average,
            variation,
            pause: Duration::ZERO,
            next_at: None,
            rng: Seed(seed).rng(),
            bite: Arc::default(),
        };
        let mut sizes = Vec::new();
        slices.cut(bytes, &mut sizes);
        sizes
    }

    proptest! {
        #[test]
        fn pieces_are_within_their_bounds_lose_nothing_and_repeat_from_the_seed(
            bytes in 1_usize..100_000,
            average in 1_usize..2_000,
            share in 0.0..1.0_f64,
            seed: u64,
        ) {
            let variation = ((average as f64 * share) as usize).min(average - 1);
            let pieces = sizes(bytes, average, variation, seed);
            prop_assert_eq!(pieces.iter().sum::<usize>(), bytes);
            prop_assert!(pieces.iter().all(|piece| (1..=average + variation).contains(piece)));
            prop_assert_eq!(pieces, sizes(bytes, average, variation, seed));
        }
    }

    #[test]
    fn another_seed_cuts_elsewhere() {
        assert_ne!(sizes(10_000, 100, 50, 1), sizes(10_000, 100, 50, 2));
    }
}
