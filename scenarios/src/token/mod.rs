//! TOK: codes that work once.

mod at_rest;
pub(crate) mod client;
mod guesses;
mod once;
mod race;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    once::ALIKE,
    race::ONE_WINS,
    guesses::VOID,
    at_rest::NEVER_IN_CLEAR,
];
