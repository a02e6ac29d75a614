//! OBS: what the service tells of itself.

mod audit_events;
mod slow_command;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[slow_command::LOGGED, audit_events::AUDITED];
