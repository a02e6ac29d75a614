//! CONN: how the service connects, and how it refuses to start.

mod configuration;
mod credentials;
mod handshake;
mod refused_start;
mod unreachable;
mod version;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    version::LOGGED,
    handshake::HANDSHAKE_FIRST,
    unreachable::REDIS,
    unreachable::POSTGRES,
    credentials::WRONG,
    configuration::BAD_VALUES,
];
