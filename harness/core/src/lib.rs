//! What happened, and whether it is good.
//!
//! Pure: no runtime, no sockets, no clock. Everything here can be judged again later from a stored
//! [`record::RunRecord`], offline, and gives the same answer.

pub mod audit;
pub mod check;
pub mod criterion;
pub mod event;
pub mod exit_code;
pub mod exposition;
pub mod fault;
pub mod history;
pub mod interleaving;
pub mod model;
pub mod record;
pub mod redact;
pub mod seed;
pub mod timeline;
pub mod verdict;

pub use criterion::{Criterion, Profile};
pub use event::{EventSink, RunEvent, RunEventKind};
pub use exit_code::ExitCode;
pub use record::{RunRecord, ScenarioRecord};
pub use seed::Seed;
pub use verdict::{Finding, Verdict};
