//! The acceptance criteria: a folder per area, a file per criterion or a few that share a story.
//!
//! A file brings its criterion's row (the same as in `docs/CRITERIA.md`) and the code that checks it
//! from outside. Nothing here knows a particular subject: what there is to know is in the manifest.

mod cache;
pub mod catalogue;
mod connect;
mod health;
mod kv;
mod lock;
mod observe;
pub mod property;
mod rate;
mod reconnect;
mod search;
mod secrets;
mod security;
mod session;
mod shutdown;
mod store_contents;
mod store_view;
mod token;

use touchstone_engine::scenario::Scenario;

/// Every scenario, in the order of the reports.
pub fn all() -> impl Iterator<Item = &'static Scenario> + Clone {
    [
        connect::ALL,
        health::ALL,
        kv::ALL,
        reconnect::ALL,
        cache::ALL,
        session::ALL,
        rate::ALL,
        security::ALL,
        token::ALL,
        lock::ALL,
        shutdown::ALL,
        observe::ALL,
    ]
    .into_iter()
    .flatten()
}
