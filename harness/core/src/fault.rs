//! A fault as data: what was done, when, and the proof that it bit.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One fault of one scenario. Written when it is injected, completed when it is healed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
