//! CONN: how the service connects, and how it refuses to start.

mod configuration;
mod credentials;
mod database;
mod handshake;
mod pool;
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
    database::HONOURED,
    configuration::BAD_VALUES,
    pool::DECLARED_SIZE,
];
