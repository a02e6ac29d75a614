//! CACHE: what is read through the cache, and what is taken out of it.

mod absent;
mod client;
mod counters;
mod fill;
pub(crate) mod interleaving;
mod invalidation;
mod outage;
mod postgres_traffic;
mod stale_set;
mod stampede;
mod update;
mod warm_up;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    fill::MISS_AND_HIT,
    absent::UNTIL_CREATED,
    update::NEVER_OLD,
    stale_set::NO_STALE_SET,
    interleaving::NO_STALE_READ,
    invalidation::BY_PATTERN,
    stampede::SHARED,
    outage::WITHOUT_REDIS,
    counters::COUNTED,
    warm_up::BEFORE_READY,
];
