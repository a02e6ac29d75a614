//! What is to be run.

use crate::environment::EnvironmentError;
use crate::scenario::Scenario;
use crate::scope::ScopeError;
use crate::store::Provider;
use crate::subject::manifest::Manifest;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use touchstone_core::event::ScenarioKey;
use touchstone_core::{Profile, Seed};

/// Everything that the command line has decided.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The run's id.
    pub run_id: String,
    /// The subject's manifest.
    pub manifest: Arc<Manifest>,
    /// Environment that the command line adds to the subject's.
    pub extra_env: BTreeMap<String, String>,
    /// Where the stores come from.
    pub provider: Arc<Provider>,
    /// Why this provider.
    pub provider_reason: String,
    /// The criteria to check, in the order of the reports.
    pub scenarios: Vec<Scenario>,
    /// Which profile's rules apply.
    pub profile: Profile,
    /// How many run side by side.
    pub jobs: usize,
    /// How often each is run.
    pub repeat: u32,
    /// Whether the first failure ends the run.
    pub fail_fast: bool,
    /// The seed of the run.
    pub seed: Seed,
    /// Where the scenarios' logs go; made when needed.
    pub report_dir: PathBuf,
    /// The command that repeats the run, without filters and seed.
    pub command: String,
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No private directory or no reaper.
    #[error("the run could not begin")]
    Scope(#[from] ScopeError),
    /// The stores do not start.
    #[error("the environment could not be started")]
    Environment(#[source] EnvironmentError),
    /// A thread could not be started.
    #[error("the run could not begin: no thread for it")]
    Thread(#[from] std::io::Error),
}

/// One attempt of one scenario.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// Its place in the record.
    pub(super) place: usize,
    pub(super) scenario: Scenario,
    pub(super) key: ScenarioKey,
    pub(super) seed: Seed,
}

impl Plan {
    /// Every attempt, in the order of the record.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        let repeats = 1..=self.repeat;
        let each = self
            .scenarios
            .iter()
            .flat_map(|scenario| repeats.clone().map(move |attempt| (scenario, attempt)));
        each.enumerate()
            .map(|(place, (scenario, attempt))| {
                let key = ScenarioKey {
                    criterion: scenario.criterion.id.to_owned(),
                    attempt,
                };
                // Each repeat its own choices; the first the same as a run without repeats.
                let seed = self.seed.derive(&key.to_string());
                Attempt {
                    place,
                    scenario: *scenario,
                    key,
                    seed,
                }
            })
            .collect()
    }

    /// The command that repeats one criterion.
    pub(super) fn reproduce(&self, criterion: &str) -> String {
        let env: String = self
            .extra_env
            .iter()
            .map(|(k, v)| format!(" --env {k}={v}"))
            .collect();
        format!(
            "{} {criterion} --provider {} --profile {} --seed {}{env}",
            self.command,
            self.provider.name(),
            self.profile,
            self.seed
        )
    }
}
