//! HLTH: what the health endpoint says, and how fast.

mod degraded;
mod flap;
mod silent;
mod stopped;
mod story;
mod timeline;
mod well;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    well::BOTH_UP,
    stopped::REDIS,
    stopped::POSTGRES,
    stopped::BOTH,
    silent::REDIS,
    silent::POSTGRES,
    timeline::EVERY_OUTAGE,
    flap::FIVE_CYCLES,
    degraded::ROUTES,
];
