//! What a flow has read and not yet passed, in order.

use super::connection::Closing;
use super::rule::{Gate, RuleState};
use bytes::Bytes;
use std::rc::Rc;
use std::time::Instant;

/// Bytes on their way.
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    pub(crate) read_at: Instant,
    /// `None`: at once. Kept apart from an `Instant` in the past, as then no clock need be read.
    pub(crate) due: Option<Instant>,
}

/// One thing in the queue of a flow. Nothing overtakes.
pub(crate) enum Item {
    Bytes(Chunk),
    /// Nothing behind it passes before it opens.
    Gate(Rc<Gate>),
    /// The connection ends here, as the subject is told.
    Cut(Closing),
    /// What stands before it was passed on: a rule wants to know.
    Passed(Rc<RuleState>),
}

impl Item {
    /// Bytes that may pass at once, or not before a time.
    pub(crate) fn bytes(bytes: &[u8], read_at: Instant, due: Option<Instant>) -> Self {
        Item::Bytes(Chunk {
            bytes: Bytes::copy_from_slice(bytes),
            read_at,
            due,
        })
    }
}
