//! Running a plan: workers execute scenarios, one dispatcher owns the state of the run and tells the
//! sinks.

mod cpu;
mod dispatcher;
mod events;
mod executor;
mod plan;
mod preflight;
mod testbed;
mod worker;

pub use dispatcher::{Outcome, run};
pub use events::EventSender;
pub use plan::{Plan, Planned, RunError, shell_word};
pub use testbed::{Testbed, TestbedError};
