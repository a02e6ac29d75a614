//! SESS: who is logged in, on which device, until when.

pub(crate) mod client;
mod cookie;
mod devices;
mod everywhere;
mod ids;
mod lifetime;
mod restart;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    lifetime::FROM_LOGIN_TO_END,
    devices::OF_ONE_USER,
    cookie::PROTECTED,
    ids::UNGUESSABLE,
    everywhere::ENDED_EVERYWHERE,
    restart::SURVIVE,
];
