//! Faults of the line: they act on the bytes of a flow, whatever these mean.
//!
//! Such a fault is a [`FlowRule`] on the proxy, which gives each flow that it is about a [`Shaper`]: that splits what was
//! read into pieces, says when each may pass, or ends the connection among them.

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
}

/// From now on it acts on every connection, those that exist and those to come.
pub(crate) fn install_flow_rule(site: &Site<'_>, rule: Box<dyn FlowRule>) {
    site.server.admit_waiting(site.hub);
    site.server
        .for_each_live(|connection| rule.apply(connection));
    site.server.flow_rules.borrow_mut().push(rule);
}

/// It acts on nothing any more, and what it holds back is let go.
pub(crate) fn heal_flow_rule(site: &Site<'_>) -> Result<(), ProxyError> {
    let id = site.fault_id;
    site.server
        .flow_rules
        .borrow_mut()
        .retain(|rule| rule.fault_id() != id);
    site.server.for_each_live(|connection| {
        for flow in [&mut connection.up, &mut connection.down] {
            flow.shapers.retain(|shaper| shaper.fault_id() != id);
            // With another one in force, what is held back keeps its time.
            if flow.shapers.is_empty() {
                flow.release();
            }
        }
        connection.wake();
    });
    Ok(())
}
