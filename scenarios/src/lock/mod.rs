//! LOCK: a lock that several instances share.

mod client;
mod fence;
mod story;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[story::ONE_HOLDER];
