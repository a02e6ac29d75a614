//! SEC: what lies in Redis, who can read it, and for how long.

mod at_rest;
pub(crate) mod client;
pub(crate) mod keys;
mod lifetimes;
mod namespaces;
mod nonces;
mod rotation;
mod tampering;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    at_rest::ENCRYPTED,
    tampering::REFUSED,
    nonces::NEVER_REPEATED,
    rotation::READABLE,
    lifetimes::BY_CLASS,
    namespaces::SEPARATE,
];
