//! The record of a run: versioned, complete, and enough to judge and render it again offline.

use crate::criterion::Profile;
use crate::exit_code::ExitCode;
use crate::fault::{FaultRecord, PlannedFault};
use crate::seed::Seed;
use crate::verdict::Verdict;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod audit;

pub use audit::{
    AuditRecord, ClientRecord, CommandCount, ForbiddenCommand, RepeatedCommands, RequestCount,
    UndecodedRecord, WithoutExpiry,
};

/// Raised when a reader of an older version would misread the record. A field that is added has a default for records
/// from before, and does not raise it.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything about one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// Raised when a reader of an older version would misread the record.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// The run's id; also the name of its report folder.
    pub run_id: String,
    /// When it began, UTC.
    pub started_at: Timestamp,
    /// How long it took, in milliseconds.
    pub wall_ms: u64,
    /// The seed of the run.
    pub seed: Seed,
    /// Which criteria were demanded.
    pub profile: Profile,
    /// How many scenarios ran side by side.
    pub jobs: usize,
    /// Which provider, and why that one.
    pub provider: ProviderRecord,
    /// The system under test.
    pub subject: SubjectRecord,
    /// What ran: `touchstone`, `redis`, `postgres`, `kernel`, ... to version.
    pub versions: BTreeMap<String, String>,
    /// What it ran on.
    pub machine: MachineRecord,
    /// One entry an attempt, in the order of the plan.
    pub scenarios: Vec<ScenarioRecord>,
    /// What a reader should know beside the verdicts.
    pub warnings: Vec<String>,
    /// Whether a signal ended the run early.
    pub interrupted: bool,
    /// What the subject sent in all attempts together; `None` in records from before there was an audit.
    #[serde(default)]
    pub audit: Option<AuditRecord>,
    /// The lower bound of the run's wall time on this machine, for comparison with `wall_ms`.
    pub bound: BoundRecord,
}

/// Where the stores came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderRecord {
    /// `docker` or `process`.
    pub kind: String,
    /// Why this one.
    pub reason: String,
}

/// The system under test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectRecord {
    /// Its name, from the manifest.
    pub name: String,
    /// The manifest's path as it was given.
    pub manifest: String,
    /// Environment that the command line added, for instance a defect switch. Names and values.
    pub extra_environment: BTreeMap<String, String>,
}

/// What the run ran on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineRecord {
    /// Operating system and release.
    pub system: String,
    /// Processor's name.
    pub processor: String,
    /// Usable cores.
    pub cores: usize,
    /// Memory in MiB.
    pub memory_mib: u64,
}

/// max(longest scenario, total CPU time / cores): what no schedule can beat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BoundRecord {
    /// The longest single attempt, in milliseconds.
    pub longest_scenario_ms: u64,
    /// CPU time of the harness and everything that it started and reaped, in milliseconds.
    pub cpu_ms: u64,
    /// The bound, in milliseconds.
    pub bound_ms: u64,
}

/// Everything about one attempt of one scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioRecord {
    /// The criterion's id.
    pub criterion: String,
    /// What must be seen.
    pub statement: String,
    /// 1 for the first; more with `--repeat`.
    pub attempt: u32,
    /// This scenario's own seed, derived from the run's.
    pub seed: Seed,
    /// The answer.
    pub verdict: Verdict,
    /// Whether it was never begun: the run had ended by then. Says nothing about the criterion.
    #[serde(default)]
    pub not_run: bool,
    /// Whether an unknown verdict comes from an environment that could not be started.
    pub environment_failed: bool,
    /// When it began, UTC.
    pub started_at: Timestamp,
    /// How long it took with set-up and teardown, in milliseconds.
    pub duration_ms: u64,
    /// Where the time went, in order.
    pub steps: Vec<StepRecord>,
    /// Faults in the order of their injection.
    pub faults: Vec<FaultRecord>,
    /// Deadlines that were measured, with what was allowed and seen.
    pub deadlines: Vec<DeadlineRecord>,
    /// What the subject sent to its stores; `None` where no environment was started or the proxies could not be
    /// asked, and in records from before there was an audit.
    #[serde(default)]
    pub audit: Option<AuditRecord>,
    /// What was seen that supports the verdict, also of a pass.
    pub observations: Vec<String>,
    /// The worst delay of the harness's own threads during the attempt, in milliseconds.
    pub worst_stall_ms: u64,
    /// Log files, relative to the report folder.
    pub logs: Vec<String>,
    /// The one command that repeats it.
    pub reproduce: String,
}

/// One step: what was done, and how long until the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepRecord {
    /// What was done.
    pub text: String,
    /// When it began, in milliseconds since the attempt began.
    pub at_ms: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// A deadline as applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadlineRecord {
    /// What had to happen in time.
    pub name: String,
    /// How long was allowed, in milliseconds.
    pub allowed_ms: u64,
    /// How long it took; `None` if it did not happen.
    pub seen_ms: Option<u64>,
    /// The default of the criterion when the manifest loosened it.
    pub loosened_from_ms: Option<u64>,
}

impl RunRecord {
    /// The exit code that follows from the record.
    pub fn exit_code(&self) -> ExitCode {
        let of_scenarios = self.scenarios.iter().map(ExitCode::of_scenario);
        let interrupted = self.interrupted.then_some(ExitCode::Interrupted);
        // A gate that has looked at nothing has nothing to say.
        let skipped = |s: &ScenarioRecord| matches!(s.verdict, Verdict::Skipped { .. });
        let empty = self
            .scenarios
            .iter()
            .all(skipped)
            .then_some(ExitCode::Usage);
        ExitCode::most_severe(of_scenarios.chain(interrupted).chain(empty))
    }

    /// What was planned of all faults, by criterion, attempt and order.
    pub fn planned_faults(&self) -> Vec<PlannedFault> {
        let of = |scenario: &ScenarioRecord| {
            let faults = scenario.faults.iter().enumerate();
            let planned = faults.map(|(order, fault)| PlannedFault {
                criterion: scenario.criterion.clone(),
                attempt: scenario.attempt,
                order,
                seed: scenario.seed.to_string(),
                name: fault.name.clone(),
                target: fault.target.clone(),
                parameters: fault.parameters.clone(),
            });
            planned.collect::<Vec<_>>()
        };
        let mut planned: Vec<PlannedFault> = self.scenarios.iter().flat_map(of).collect();
        planned.sort();
        planned
    }

    /// How many attempts ended with each verdict: pass, fail, unknown, skipped.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for scenario in &self.scenarios {
            tally.add(&scenario.verdict);
        }
        tally
    }

    /// Criteria that gave different verdicts in different attempts of this run.
    pub fn flaky(&self) -> Vec<&str> {
        let mut words: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for scenario in &self.scenarios {
            words
                .entry(&scenario.criterion)
                .or_default()
                .push(scenario.verdict.word());
        }
        words.retain(|_, words| words.iter().any(|word| *word != words[0]));
        words.into_keys().collect()
    }
}

/// Numbers of verdicts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Attempts that passed.
    pub pass: usize,
    /// Attempts that failed.
    pub fail: usize,
    /// Attempts that could not be judged.
    pub unknown: usize,
    /// Attempts that were not run.
    pub skipped: usize,
}

impl Tally {
    /// Counts one more attempt.
    pub fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Pass => self.pass += 1,
            Verdict::Fail(_) => self.fail += 1,
            Verdict::Unknown { .. } => self.unknown += 1,
            Verdict::Skipped { .. } => self.skipped += 1,
        }
    }
}
