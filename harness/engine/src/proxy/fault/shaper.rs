//! What a fault of the line puts on a flow, and how that comes and goes.

use super::Site;
use crate::proxy::connection::Connection;
use crate::proxy::error::ProxyError;
use crate::proxy::queue::{Chunk, Item};
use std::time::{Duration, Instant};

/// A fault of the line in force on a proxy, to be applied to each of its connections.
pub(crate) trait FlowRule {
    fn fault_id(&self) -> u64;

    /// Gives the flows of a connection their shapers.
    fn apply(&self, connection: &mut Connection);
}

/// A fault of the line in force on one flow.
pub(crate) trait Shaper {
    fn fault_id(&self) -> u64;

    /// Splits a chunk, dates its pieces, puts other things between them. A piece is never dated earlier than the
    /// chunk was.
    fn shape(&mut self, chunk: Chunk, out: &mut Vec<Item>);

    /// When the end of the source may pass, if not at `earliest`.
    fn end_due(&mut self, _earliest: Instant) -> Option<Instant> {
        None
    }

    /// A dated piece has passed, that long after it was read.
    fn passed(&self, _held: Duration) {}

    /// How many bytes the flow may hold back before its source feels it, if less than a flow may anyway. Asked
    /// only of a shaper that is alone.
    fn held_bytes_limit(&self) -> usize {
        usize::MAX
    }

    /// Whether it has thrown bytes away: a stream with a hole cannot go on without the fault.
    fn has_lost_bytes(&self) -> bool {
        false
    }
}

/// From now on it acts on every connection, those that exist and those to come.
pub(crate) fn install_flow_rule(site: &Site<'_>, rule: Box<dyn FlowRule>) {
    site.server.admit_waiting(site.hub);
    site.server.for_each_live(|connection| {
        rule.apply(connection);
        connection.wake();
    });
    site.server.flow_rules.borrow_mut().push(rule);
}

/// It acts on nothing any more, and what it holds back is let go.
pub(crate) fn heal_flow_rule(site: &Site<'_>) -> Result<(), ProxyError> {
    let id = site.fault_id;
    site.server
        .flow_rules
        .borrow_mut()
        .retain(|rule| rule.fault_id() != id);
    site.server
        .for_each_live(|connection| connection.line_healed(id));
    Ok(())
}
