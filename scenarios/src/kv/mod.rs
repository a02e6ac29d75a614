//! KV: values, expiry and counts, compared with what lies in the store.

mod bad_input;
mod client;
mod count;
mod expiry;
mod lifetime;
mod one_command;
pub(crate) mod sequence;
mod value;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    value::BOTH_WAYS,
    expiry::EXPIRE,
    expiry::TTL,
    lifetime::GONE_IN_TIME,
    one_command::ONE_COMMAND,
    count::DELETE_AND_EXISTS,
    bad_input::REFUSED,
    sequence::AGREES,
];
