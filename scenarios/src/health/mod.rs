//! HLTH: what the health endpoint says, and how fast.

mod degraded;
mod flap;
mod latency;
mod live_ready;
mod probes;
mod refusals;
mod silent;
mod stopped;
pub(crate) mod story;
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
    probes::CHEAP,
    flap::FIVE_CYCLES,
    refusals::ERRORS,
    degraded::ROUTES,
    latency::SLOW_LINE,
    live_ready::FOLLOW,
];
