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
use touchstone_core::redact::{secret_in, without_secret};
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
    pub scenarios: Vec<Planned>,
    /// Which profile's rules apply.
    pub profile: Profile,
    /// How many run side by side.
    pub jobs: usize,
    /// How often each is run.
    pub repeat: u32,
    /// Whether the first failure ends the run.
    pub fail_fast: bool,
    /// Whether the stores of scenarios that failed outlive the run.
    pub keep_on_fail: bool,
    /// The seed of the run.
    pub seed: Seed,
    /// Where the scenarios' logs go; made when needed.
    pub report_dir: PathBuf,
    /// The command that repeats the run, without filters and seed.
    pub command: String,
}

/// A scenario that is to be run, with what distinguishes it from another run of the same one.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The scenario.
    pub scenario: Scenario,
    /// Environment for its subject over the plan's, for instance a defect to switch on.
    pub extra_env: BTreeMap<String, String>,
}

impl From<Scenario> for Planned {
    fn from(scenario: Scenario) -> Self {
        Self {
            scenario,
            extra_env: BTreeMap::new(),
        }
    }
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
    /// The plan's environment with the scenario's own over it.
    pub(super) extra_env: BTreeMap<String, String>,
    pub(super) key: ScenarioKey,
    pub(super) seed: Seed,
}

impl Plan {
    /// Every attempt, in the order of the record. A criterion that is planned several times counts on.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        let each = self.scenarios.iter().flat_map(|planned| {
            std::iter::repeat_n(planned, usize::try_from(self.repeat).unwrap_or(usize::MAX))
        });
        each.enumerate()
            .map(|(place, planned)| {
                let count = counts.entry(planned.scenario.criterion.id).or_default();
                *count += 1;
                let key = ScenarioKey {
                    criterion: planned.scenario.criterion.id.to_owned(),
                    attempt: *count,
                };
                // Each repeat its own choices; the first the same as a run without repeats.
                let seed = self.seed.derive(&key.to_string());
                let mut extra_env = self.extra_env.clone();
                extra_env.extend(planned.extra_env.clone());
                Attempt {
                    place,
                    scenario: planned.scenario,
                    extra_env,
                    key,
                    seed,
                }
            })
            .collect()
    }

    /// How many may run side by side, and why only one if more were asked for.
    pub(super) fn jobs_allowed(&self) -> (usize, Option<String>) {
        match self.manifest.subject.port {
            Some(port) if self.jobs > 1 => {
                let why = format!(
                    "one scenario at a time, not {}: the subject always listens on port {port} (`subject.port`)",
                    self.jobs
                );
                (1, Some(why))
            }
            _ => (self.jobs, None),
        }
    }

    /// The command that repeats one attempt's criterion. A secret is named, not shown: whoever repeats
    /// the run has it in the environment.
    pub(super) fn reproduce(&self, attempt: &Attempt) -> String {
        let env: String = attempt
            .extra_env
            .iter()
            .map(|(name, value)| match secret_in(name, value) {
                Some(_) => format!(" --env {name}=\"${name}\""),
                None => format!(" --env {}", shell_word(&format!("{name}={value}"))),
            })
            .collect();
        format!(
            "{} {} --provider {} --profile {} --seed {}{env}",
            self.command,
            attempt.key.criterion,
            self.provider.name(),
            self.profile,
            self.seed
        )
    }

    /// What the command line added to the subject's environment, fit for a report.
    pub(super) fn shown_env(&self) -> BTreeMap<String, String> {
        let shown = |(name, value): (&String, &String)| (name.clone(), without_secret(name, value));
        self.extra_env.iter().map(shown).collect()
    }
}

/// A text as one word of a POSIX shell.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::shell_word;

    #[test]
    fn a_word_with_blanks_or_quotes_is_quoted_for_the_shell() {
        assert_eq!(shell_word("A=b/c.d"), "A=b/c.d");
        assert_eq!(shell_word("A=b c"), "'A=b c'");
        assert_eq!(shell_word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(shell_word(""), "''");
    }
}
