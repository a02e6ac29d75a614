//! `limit-data`: after so many bytes the connection ends.

use super::line::{Direction, LineFault, Seat};
use super::shaper::Shaper;
use super::{Evidence, parameters};
use crate::proxy::connection::Closing;
use crate::proxy::queue::{Chunk, Item};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Ends a connection, orderly, when so many bytes have passed in a direction since the fault is in force (for a
/// new connection: since it began). The bytes up to there arrive.
///
/// *Heal*: connections count no longer; those that were ended stay so. *Bite*: how many reached the limit.
#[derive(Debug, Clone, Copy)]
pub struct LimitData {
    /// How many bytes pass. With 0 the first byte ends the connection.
    pub bytes: u64,
    /// Which way; with both, each direction has the limit by itself.
    pub direction: Direction,
}

/// What a limit has done.
#[derive(Default)]
pub struct LimitDataBite {
    connections: AtomicU64,
}

impl Evidence for LimitDataBite {
    fn bite(&self) -> Option<String> {
        let connections = self.connections.load(Ordering::Relaxed);
        (connections > 0).then(|| format!("{connections} connections were ended at the limit"))
    }
}

impl LineFault for LimitData {
    type Bite = LimitDataBite;

    fn name(&self) -> &'static str {
        "limit-data"
    }

    fn parameters(&self) -> BTreeMap<String, String> {
        parameters([
            ("bytes", self.bytes.to_string()),
            ("direction", self.direction.name().to_owned()),
        ])
    }

    fn apply(&self, seat: &mut Seat<'_, LimitDataBite>) {
        let (fault_id, bite) = (seat.fault_id, Arc::clone(seat.bite));
        seat.shape(self.direction, |_| Allowance {
            fault_id,
            left: Some(self.bytes),
            bite: Arc::clone(&bite),
        });
    }
}

/// What one flow may still pass.
struct Allowance {
    fault_id: u64,
    /// `None`: the connection ends.
    left: Option<u64>,
    bite: Arc<LimitDataBite>,
}

impl Shaper for Allowance {
    fn fault_id(&self) -> u64 {
        self.fault_id
    }

    fn shape(&mut self, mut chunk: Chunk, out: &mut Vec<Item>) {
        let Some(left) = self.left else { return };
        let size = chunk.bytes.len() as u64;
        if size < left {
            self.left = Some(left - size);
            return out.push(Item::Bytes(chunk));
        }
        // At most the chunk's size, which is a `usize`.
        chunk
            .bytes
            .truncate(usize::try_from(left).unwrap_or(usize::MAX));
        if !chunk.bytes.is_empty() {
            out.push(Item::Bytes(chunk));
        }
        out.push(Item::Cut(Closing::Fin));
        self.left = None;
        self.bite.connections.fetch_add(1, Ordering::Relaxed);
    }
}
