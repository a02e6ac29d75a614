//! CONN: how the service connects, and how it refuses to start.

mod certificate;
mod configuration;
mod credentials;
mod database;
mod downgrade;
mod encrypted;
mod handshake;
mod password_file;
mod pool;
mod refused_start;
mod rotated_role;
mod rotated_user;
mod rotation;
mod under_load;
mod unreachable;
mod version;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    version::LOGGED,
    handshake::HANDSHAKE_FIRST,
    unreachable::REDIS,
    unreachable::POSTGRES,
    credentials::REFUSED,
    database::HONOURED,
    configuration::BAD_VALUES,
    certificate::VERIFIED,
    downgrade::NO_DOWNGRADE,
    pool::DECLARED_SIZE,
    rotation::ROTATED,
];
