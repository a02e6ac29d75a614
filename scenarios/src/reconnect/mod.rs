//! RECON: surviving the loss of a connection.

mod crossed;
mod data;
mod in_flight;
mod readers;
mod restart;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    restart::COMES_BACK,
    data::SURVIVES,
    in_flight::NOTHING_LOST,
    crossed::NO_CROSS_TALK,
    crossed::CANCELLED,
];
