//! The acceptance criteria: a folder per area, a file per criterion or a few that share a story.
//!
//! A file brings its criterion's row (the same as in `docs/CRITERIA.md`) and the code that checks it
//! from outside. Nothing here knows a particular subject: what there is to know is in the manifest.

mod health;

use touchstone_engine::scenario::Scenario;

/// Every scenario, in the order of the reports.
pub fn all() -> &'static [Scenario] {
    SCENARIOS
}

const SCENARIOS: &[Scenario] = &[
    health::stopped::REDIS,
    health::stopped::POSTGRES,
    health::stopped::BOTH,
];
