//! `bandwidth`: bytes pass at a rate, as on a thin line.

use super::line::{Direction, LineFault, Seat};
use super::shaper::Shaper;
use super::{Evidence, parameters};
use crate::proxy::queue::{Chunk, Item};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a piece passes, while there is anything to pass: often enough to look like a stream, and seldom enough
/// to cost nothing.
const PIECES_PER_SECOND: u64 = 500;

/// The least that a line holds for a sender that is faster; the source feels the line soon.
const BACKLOG_BYTES_MIN: usize = 64 * 1024;

/// Stands for never: longer than anything runs, and far from where adding to an `Instant` overflows.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Lets bytes pass at a rate, for each direction of each connection by itself.
///
/// A chunk passes in pieces, each at the moment at which a line of that rate would have delivered its last byte, to
/// the microsecond and without a drift: 1,000,000 bytes at 1,000,000 bytes/s take a second, in 500 pieces. A tenth of
/// a second's worth (64 KiB at least, and what one read gives) is taken in advance, then the source feels
/// back-pressure.
///
/// *Heal*: what is held back is let go at once. *Bite*: how many bytes had to wait, and how long at most.
#[derive(Debug, Clone, Copy)]
pub struct Bandwidth {
    /// Bytes per second. With 0 nothing passes until the heal.
    pub bytes_per_second: u64,
    /// Which way.
    pub direction: Direction,
}

/// What a bandwidth has done.
#[derive(Default)]
pub struct BandwidthBite {
    bytes: AtomicU64,
    longest_us: AtomicU64,
    stopped: AtomicU64,
}

impl Evidence for BandwidthBite {
    fn bite(&self) -> Option<String> {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let stopped = self.stopped.load(Ordering::Relaxed);
        let longest_us = self.longest_us.load(Ordering::Relaxed);
        if stopped > 0 {
            return Some(format!("{stopped} bytes were stopped"));
        }
        (bytes > 0).then(|| format!("{bytes} bytes had to wait, up to {longest_us} us"))
    }
}

impl LineFault for Bandwidth {
    type Bite = BandwidthBite;

    fn name(&self) -> &'static str {
        "bandwidth"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        parameters([
            ("bytes_per_second", self.bytes_per_second.to_string()),
            ("direction", self.direction.name().to_owned()),
        ])
    }

    fn apply(&self, seat: &mut Seat<'_, BandwidthBite>) {
        let (fault_id, bite) = (seat.fault_id, Arc::clone(seat.bite));
        seat.shape(self.direction, |_| Line {
            fault_id,
            bytes_per_second: self.bytes_per_second,
            busy_since: None,
            busy_bytes: 0,
            bite: Arc::clone(&bite),
        });
    }
}

/// A line of that rate: one flow.
struct Line {
    fault_id: u64,
    bytes_per_second: u64,
    /// Since when it has not been idle, and what it has been given since: dates follow from these two, so that no
    /// rounding adds up.
    busy_since: Option<Instant>,
    busy_bytes: u64,
    bite: Arc<BandwidthBite>,
}

impl Line {
    /// When it has delivered all that it was given.
    fn free_at(&self) -> Option<Instant> {
        let delivered_ns =
            u128::from(self.busy_bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.max(1));
        let delivered_ns = u64::try_from(delivered_ns).unwrap_or(u64::MAX);
        let takes = Duration::from_nanos(delivered_ns).min(NEVER);
        self.busy_since.map(|since| since + takes)
    }

    /// When a piece that comes at `at` is delivered.
    fn deliver(&mut self, at: Instant, bytes: usize) -> Instant {
        if self.bytes_per_second == 0 {
            return at + NEVER;
        }
        if self.free_at().is_none_or(|free_at| free_at <= at) {
            self.busy_since = Some(at);
            self.busy_bytes = 0;
        }
        self.busy_bytes += bytes as u64;
        self.free_at().unwrap_or(at)
    }

    fn piece_bytes(&self) -> usize {
        usize::try_from(self.bytes_per_second / PIECES_PER_SECOND)
            .unwrap_or(usize::MAX)
            .max(1)
    }

    fn note(&self, bytes: usize, waits: Duration) {
        let counter = match self.bytes_per_second {
            0 => &self.bite.stopped,
            _ => &self.bite.bytes,
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
        let waits_us = u64::try_from(waits.as_micros()).unwrap_or(u64::MAX);
        self.bite.longest_us.fetch_max(waits_us, Ordering::Relaxed);
    }
}

impl Shaper for Line {
    fn fault_id(&self) -> u64 {
        self.fault_id
    }

    fn shape(&mut self, chunk: Chunk, out: &mut Vec<Item>) {
        let Chunk {
            mut bytes,
            read_at,
            due,
        } = chunk;
        let at = due.unwrap_or(read_at);
        while !bytes.is_empty() {
            let piece = bytes.split_to(self.piece_bytes().min(bytes.len()));
            let due = self.deliver(at, piece.len());
            self.note(piece.len(), due - at);
            out.push(Item::Bytes(Chunk {
                bytes: piece,
                read_at,
                due: Some(due),
            }));
        }
    }

    fn held_bytes_limit(&self) -> usize {
        let backlog = usize::try_from(self.bytes_per_second / 10).unwrap_or(usize::MAX);
        backlog.max(BACKLOG_BYTES_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn line(bytes_per_second: u64) -> Line {
        Line {
            fault_id: 0,
            bytes_per_second,
            busy_since: None,
            busy_bytes: 0,
            bite: Arc::default(),
        }
    }

    fn shaped(line: &mut Line, size: usize, read_at: Instant) -> Vec<(usize, Instant)> {
        let mut out = Vec::new();
        let bytes = Bytes::from(vec![0; size]);
        let due = None;
        line.shape(
            Chunk {
                bytes,
                read_at,
                due,
            },
            &mut out,
        );
        let dated = |item| match item {
            Item::Bytes(Chunk { bytes, due, .. }) => (bytes.len(), due.expect("dated")),
            _ => panic!("only bytes"),
        };
        out.into_iter().map(dated).collect()
    }

    proptest! {
        #[test]
        fn a_busy_line_delivers_at_its_rate_without_a_drift(
            bytes_per_second in 1_000_u64..2_000_000_000,
            sizes in prop::collection::vec(1_usize..300_000, 1..8),
        ) {
            let (mut line, began) = (line(bytes_per_second), Instant::now());
            let mut delivered = 0;
            for size in sizes {
                for (bytes, due) in shaped(&mut line, size, began) {
                    delivered += bytes;
                    let ideal = delivered as f64 / bytes_per_second as f64;
                    let error = (due - began).as_secs_f64() - ideal;
                    prop_assert!(error.abs() < 1e-6, "{error} s off after {delivered} bytes");
                }
            }
        }
    }

    #[test]
    fn an_idle_line_gives_no_credit() {
        let (mut line, began) = (line(1_000_000), Instant::now());
        shaped(&mut line, 1_000, began);
        let later = began + Duration::from_secs(5);
        let last = shaped(&mut line, 1_000, later).pop().expect("a piece").1;
        assert_eq!(last - later, Duration::from_millis(1));
    }

    #[test]
    fn a_line_without_a_rate_delivers_never() {
        let (mut line, began) = (line(0), Instant::now());
        let (_, due) = shaped(&mut line, 10, began)[0];
        assert!(due - began > Duration::from_secs(365 * 24 * 3600));
        assert_eq!(line.bite.bite().as_deref(), Some("10 bytes were stopped"));
    }
}
