//! The one boundary between running and reporting. Running never prints; printing never runs.
//!
//! Life cycle only: operations, commands and probes are many and are written to the scenario's own
//! log instead.

use crate::criterion::Profile;
use crate::exit_code::ExitCode;
use crate::fault::FaultRecord;
use crate::record::{RunRecord, ScenarioRecord};
use crate::seed::Seed;
use jiff::Timestamp;

/// Something that happened to the run.
#[derive(Debug, Clone)]
pub struct RunEvent {
    /// Wall clock, for people.
    pub at: Timestamp,
    /// Monotonic time since the run began, for arithmetic, in microseconds.
    pub elapsed_us: u64,
    /// What happened.
    pub kind: RunEventKind,
}

/// Which attempt of which scenario.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScenarioKey {
    /// The criterion's id.
    pub criterion: String,
    /// 1 for the first; more with `--repeat`.
    pub attempt: u32,
}

impl std::fmt::Display for ScenarioKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.attempt == 1 {
            f.write_str(&self.criterion)
        } else {
            write!(f, "{}#{}", self.criterion, self.attempt)
        }
    }
}

/// What happened.
#[derive(Debug, Clone)]
pub enum RunEventKind {
    /// The plan is made and the provider chosen.
    RunStarted {
        /// The run's id; also the name of its report folder.
        run_id: String,
        /// The seed of the run.
        seed: Seed,
        /// Which criteria are demanded.
        profile: Profile,
        /// The subject's name, from its manifest.
        subject: String,
        /// Which provider, and why that one.
        provider: String,
        /// How many scenario attempts will run.
        planned: usize,
        /// How many run side by side.
        jobs: usize,
    },
    /// An attempt has begun.
    ScenarioStarted {
        /// Which one.
        key: ScenarioKey,
    },
    /// An attempt has come to a step worth showing.
    Step {
        /// Which one.
        key: ScenarioKey,
        /// What it does now, in a few words.
        text: String,
    },
    /// A fault is in force.
    FaultInjected {
        /// Which attempt.
        key: ScenarioKey,
        /// The fault as known so far.
        fault: FaultRecord,
    },
    /// A fault was healed.
    FaultHealed {
        /// Which attempt.
        key: ScenarioKey,
        /// The fault, complete.
        fault: FaultRecord,
    },
    /// An attempt is over, its environment torn down.
    ScenarioFinished {
        /// Everything about it.
        record: Box<ScenarioRecord>,
    },
    /// The run was asked to stop: what runs is torn down, nothing new starts.
    Interrupted {
        /// The signal's name.
        signal: String,
    },
    /// The run is over.
    RunFinished {
        /// The whole record.
        record: Box<RunRecord>,
        /// The exit code that follows from it.
        exit_code: ExitCode,
    },
}

/// Something that is told of every event, in order: the live terminal, the record writer.
///
/// A sink that fails is reported and told of later events all the same; it never stops the others.
pub trait EventSink: Send {
    /// Takes note of an event.
    fn on_event(&mut self, event: &RunEvent) -> std::io::Result<()>;
}
