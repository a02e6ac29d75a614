//! OBS: what the service tells of itself.

mod slow_command;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[slow_command::LOGGED];
