//! OBS: what the service tells of itself.

mod audit_events;
mod canaries;
mod malformed;
mod no_secrets;
mod events;
pub(crate) mod figures;
mod metrics;
mod slow_command;
mod trace;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[slow_command::LOGGED, audit_events::AUDITED];
pub(crate) const ALL: &[Scenario] = &[slow_command::LOGGED, no_secrets::NO_SECRETS];
pub(crate) const ALL: &[Scenario] = &[
    events::LOGGED,
    slow_command::LOGGED,
    metrics::AGREE,
    trace::FOLLOWED,
];
