//! RATE: what the limiter admits, and whether what it says about that is true.

mod burst;
mod client;
mod headers;
pub(crate) mod sequence;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[headers::TRUE, burst::NEVER_MORE, sequence::AGREES];
