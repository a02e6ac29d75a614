//! What is kept of a comparison: every round, and what it was measured on.

use super::Request;
use super::pinning::Cores;
use super::round::{Round, Sizes};
use super::rows::Row;
use crate::record::{commit, save_baseline};
use crate::{BenchError, BenchRun, Session};
use serde::Serialize;
use std::path::PathBuf;

/// Rises when a reader of old files would misread new ones.
const VERSION: u32 = 1;

/// One comparison.
#[derive(Debug, Serialize)]
pub struct SideBySide {
    /// The version of this format.
    pub version: u32,
    /// The commit that was measured; `+` for changes that were not committed.
    pub commit: String,
    /// What a reader has to know to read the numbers right.
    pub remarks: Vec<String>,
    /// Machine, versions, load, times.
    pub run: BenchRun,
    /// What ran where.
    pub cores: Cores,
    /// How much was measured.
    pub sizes: Sizes,
    /// What follows from the rounds.
    pub rows: Vec<Row>,
    /// Every round.
    pub rounds: Vec<Round>,
}

impl SideBySide {
    pub(super) fn new(
        session: &Session,
        cores: Cores,
        request: &Request,
        rounds: Vec<Round>,
        rows: Vec<Row>,
    ) -> Self {
        Self {
            version: VERSION,
            commit: commit(),
            remarks: request.remarks.clone(),
            run: BenchRun {
                command: "make bench-proxy".to_owned(),
                ..session.finished_note()
            },
            cores,
            sizes: request.sizes.clone(),
            rows,
            rounds,
        }
    }

    /// Writes `reports/baselines/<date>-<name>.json`; where it lies in the workspace.
    pub(super) fn save(&self, name: &str) -> Result<PathBuf, BenchError> {
        save_baseline(&self.run, name, self)
    }
}
