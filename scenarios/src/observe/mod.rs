//! OBS: what the service tells of itself.

mod events;
pub(crate) mod figures;
mod metrics;
mod slow_command;
mod trace;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[
    events::LOGGED,
    slow_command::LOGGED,
    metrics::AGREE,
    trace::FOLLOWED,
];
