//! RATE: what the limiter admits, and whether what it says about that is true.

mod burst;
pub(crate) mod client;
mod crash;
mod headers;
mod outage;
mod reopens;
pub(crate) mod sequence;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    headers::TRUE,
    crash::NEVER_WITHOUT_END,
    burst::NEVER_MORE,
    reopens::IN_TIME,
    sequence::AGREES,
    outage::DECLARED,
];
