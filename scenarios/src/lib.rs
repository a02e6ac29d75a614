//! The acceptance criteria: a folder per area, a file per criterion or a few that share a story.
//!
//! A file brings its criterion's row (the same as in `docs/CRITERIA.md`) and the code that checks it
//! from outside. Nothing here knows a particular subject: what there is to know is in the manifest.

mod connect;
mod health;
mod reconnect;
mod shutdown;

use touchstone_engine::scenario::Scenario;

/// Every scenario, in the order of the reports.
pub fn all() -> impl Iterator<Item = &'static Scenario> + Clone {
    [connect::ALL, health::ALL, reconnect::ALL, shutdown::ALL]
        .into_iter()
        .flatten()
}
