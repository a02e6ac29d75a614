//! CACHE: what is read through the cache, and what is taken out of it.

mod client;
pub(crate) mod interleaving;
mod invalidation;
mod stale_set;
mod update;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    update::NEVER_OLD,
    stale_set::NO_STALE_SET,
    invalidation::BY_PATTERN,
];
