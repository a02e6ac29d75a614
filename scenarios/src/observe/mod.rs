//! OBS: what the service tells of itself.

mod canaries;
mod malformed;
mod no_secrets;
mod slow_command;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[slow_command::LOGGED, no_secrets::NO_SECRETS];
