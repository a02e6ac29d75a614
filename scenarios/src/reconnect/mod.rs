//! RECON: surviving the loss of a connection.

mod data;
mod restart;

use touchstone_engine::scenario::Scenario;

pub(crate) const ALL: &[Scenario] = &[restart::COMES_BACK, data::SURVIVES];
