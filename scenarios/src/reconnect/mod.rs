//! RECON: surviving the loss of a connection.

mod backoff;
mod data;
mod exhaustion;
mod fleet;
mod half_open;
mod herd;
mod killed;
mod load;
mod pool;
mod restart;
mod scripts;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    restart::COMES_BACK,
    backoff::FOLLOWS_SCHEDULE,
    exhaustion::CALMS_DOWN,
    herd::SPREADS,
    data::SURVIVES,
    half_open::REPLACES,
    scripts::KNOWS_AGAIN,
    killed::CARRIES_ON,
    pool::HEALS,
];
