//! RECON: surviving the loss of a connection.

mod backoff;
mod crossed;
mod data;
mod exhaustion;
mod fleet;
mod half_open;
mod herd;
mod in_flight;
mod killed;
pub(crate) mod load;
mod pool;
mod readers;
mod restart;
mod scripts;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    restart::COMES_BACK,
    backoff::FOLLOWS_SCHEDULE,
    exhaustion::CALMS_DOWN,
    herd::SPREADS,
    data::SURVIVES,
    in_flight::NOTHING_LOST,
    crossed::NO_CROSS_TALK,
    half_open::REPLACES,
    crossed::CANCELLED,
    scripts::KNOWS_AGAIN,
    killed::CARRIES_ON,
    pool::HEALS,
];
