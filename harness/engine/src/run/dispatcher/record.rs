//! What the dispatcher makes the run's record of.

use super::super::{cpu, preflight::Preflight};
use super::Dispatcher;
use crate::kept::{Kept, Pair};
use crate::machine;
use touchstone_core::record::{BoundRecord, ProviderRecord, SCHEMA_VERSION, SubjectRecord};
use touchstone_core::{RunRecord, ScenarioRecord};

impl Dispatcher {
    /// The record of the run that is over.
    pub(super) fn record(&self, scenarios: Vec<ScenarioRecord>, preflight: Preflight) -> RunRecord {
        let mut versions = preflight.versions;
        versions.extend(machine::versions());
        let bound = self.bound(&scenarios);
        let audits = scenarios
            .iter()
            .filter_map(|scenario| scenario.audit.as_ref());
        let audit = Some(touchstone_core::audit::total(audits));
        RunRecord {
            schema_version: SCHEMA_VERSION,
            run_id: self.plan.run_id.clone(),
            started_at: self.started_at,
            wall_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            seed: self.plan.seed,
            profile: self.plan.profile,
            jobs: self.plan.jobs,
            provider: ProviderRecord {
                kind: self.plan.provider.name().to_owned(),
                reason: self.plan.provider_reason.clone(),
            },
            subject: SubjectRecord {
                name: self.plan.manifest.subject.name.clone(),
                manifest: self.plan.manifest.path.display().to_string(),
                extra_environment: self.plan.shown_env(),
            },
            versions,
            machine: machine::describe(),
            scenarios,
            warnings: self.warnings(),
            interrupted: self.cancelled.borrow().is_some(),
            audit,
            bound,
        }
    }

    fn warnings(&self) -> Vec<String> {
        let looser = self.plan.manifest.deadlines.loosened();
        let warn = |(name, allowed_ms, default_ms): &(&str, u64, u64)| {
            format!(
                "the manifest allows `{name}` {allowed_ms} ms; the criterion's default is {default_ms} ms"
            )
        };
        let sinks = self
            .sink_errors
            .iter()
            .map(|error| format!("a report failed: {error}"));
        let kept = self.keeper.as_ref().and_then(|keeper| keeper.kept());
        let kept = kept.iter().flat_map(told);
        let notes = self.notes.iter().cloned();
        let deadlines = looser.iter().map(warn);
        notes.chain(deadlines).chain(sinks).chain(kept).collect()
    }

    fn bound(&self, scenarios: &[ScenarioRecord]) -> BoundRecord {
        let longest_scenario_ms = scenarios.iter().map(|s| s.duration_ms).max().unwrap_or(0);
        let cpu_ms = cpu::used_ms().saturating_sub(self.cpu_before_ms);
        let cores = machine::cores() as u64;
        BoundRecord {
            longest_scenario_ms,
            cpu_ms,
            bound_ms: longest_scenario_ms.max(cpu_ms / cores),
        }
    }
}

/// What stays of a run, and how to look into it.
fn told(kept: &Kept) -> Vec<String> {
    let pair = |pair: &Pair| {
        format!(
            "kept: the stores of {}, with their data: redis {}, postgres {}; its subject and its proxies have ended",
            pair.of, pair.redis.address, pair.postgres.address
        )
    };
    let name = &kept.name;
    let ways = format!(
        "`touchstone env status --name {name}` looks at what was kept, with --export it prints the URLs; `touchstone env down --name {name}` removes it; until then the subject's own log lies in {}",
        kept.dir.display()
    );
    kept.pairs.iter().map(pair).chain([ways]).collect()
}
