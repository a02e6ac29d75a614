//! A fault as data: what was done, when, and the proof that it bit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was planned of a fault: a line of `faults.jsonl`. The same seed gives the same lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlannedFault {
    /// The criterion's id.
    pub criterion: String,
    /// Which attempt of it.
    pub attempt: u32,
    /// Its place among the faults of the attempt, from 0: what was observed of it stands there in the record's
    /// `scenarios[].faults`.
    pub order: usize,
    /// The scenario's seed, as `--seed` takes it.
    pub seed: String,
    /// The fault's name.
    pub name: String,
    /// What it acts on.
    pub target: String,
    /// Its parameters, names with units.
    pub parameters: BTreeMap<String, String>,
}

/// One fault of one scenario. Written when it is injected, completed when it is healed.
///
/// Name, target and parameters are its *plan*: they follow from the scenario and its seed alone, so that two runs with
/// one seed plan the same. What depends on time or luck (times, counts, ports, numbers of connections) belongs into
/// `bite`, or nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FaultRecord {
    /// The fault's name, for instance `stop` or `latency`.
    pub name: String,
    /// What it acts on, for instance `redis` or `proxy redis of instance 0`.
    pub target: String,
    /// Its parameters, names with units.
    pub parameters: BTreeMap<String, String>,
    /// When it was in force, in microseconds since the scenario began.
    pub injected_at_us: u64,
    /// When it was healed; `None` if it was in force until the end.
    pub healed_at_us: Option<u64>,
    /// How it was seen to bite; `None` if it was not, which makes the verdict unknown.
    pub bite: Option<String>,
}
