//! OBS: what the service tells of itself.

mod audit_events;
mod canaries;
mod events;
pub(crate) mod figures;
mod malformed;
mod metrics;
mod no_secrets;
mod slow_command;
mod trace;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    events::LOGGED,
    slow_command::LOGGED,
    metrics::AGREE,
    no_secrets::NO_SECRETS,
    audit_events::AUDITED,
    trace::FOLLOWED,
];
