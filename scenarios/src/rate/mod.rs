//! RATE: what the limiter admits, and whether what it says about that is true.

mod boundary;
mod burst;
mod by_session;
pub(crate) mod client;
mod crash;
mod headers;
mod headers_sliding;
mod login;
mod outage;
mod reopens;
mod separate;
pub(crate) mod sequence;
pub(crate) mod sequence_sliding;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    headers::TRUE,
    separate::NOT_SHARED,
    crash::NEVER_WITHOUT_END,
    burst::NEVER_MORE,
    reopens::IN_TIME,
    sequence::AGREES,
    outage::DECLARED,
    login::GUESSES_LIMITED,
    by_session::THE_SESSION_S_OWN,
];
