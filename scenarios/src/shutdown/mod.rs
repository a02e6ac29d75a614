//! SHUT: ending cleanly, whatever the stores do.

mod clean;
mod closes;
mod early;
mod in_flight;
mod outage;
mod twice;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    clean::DRAINS,
    outage::FROZEN,
    outage::GONE,
    twice::SECOND_SIGNAL,
    early::EARLY,
];
