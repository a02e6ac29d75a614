//! A run of scenarios that are made for it, with this test binary as its subject.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;
use touchstone_core::{Criterion, EventSink, Profile, Seed, Verdict};
use touchstone_engine::run::{Outcome, Plan, Planned, RunError, run};
use touchstone_engine::scenario::{Context, Scenario, Stop};
use touchstone_engine::store::Provider;
use touchstone_engine::store::tools::Tools;
use touchstone_engine::subject::Manifest;

pub(crate) type TestResult = Result<(), Box<dyn Error>>;
pub(crate) type ScenarioFuture<'a> = futures::future::BoxFuture<'a, Result<(), Stop>>;

pub(crate) const fn scenario(
    id: &'static str,
    run: for<'a> fn(&'a Context) -> ScenarioFuture<'a>,
) -> Scenario {
    Scenario {
        criterion: Criterion {
            id,
            statement: "made for a test",
            profile: Profile::Merge,
        },
        expected: Duration::from_secs(1),
        run,
    }
}

pub(crate) struct Setup {
    pub(crate) plan: Plan,
    pub(crate) sinks: Vec<Box<dyn EventSink>>,
    _dir: TempDir,
}

impl Setup {
    pub(crate) fn new(scenarios: &[Scenario], more_manifest: &str) -> Result<Self, Box<dyn Error>> {
        let told = format!("[subject.env]\nSTUB_PORT = \"{{http.port}}\"\n{more_manifest}");
        Self::with_manifest(scenarios, &told)
    }

    /// `rest` follows upon the name and the command of the subject.
    pub(crate) fn with_manifest(
        scenarios: &[Scenario],
        rest: &str,
    ) -> Result<Self, Box<dyn Error>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = tempfile::tempdir()?;
        let manifest = manifest(dir.path(), rest)?;
        let plan = Plan {
            run_id: format!("rules-{}-{number}", std::process::id()),
            manifest: Arc::new(manifest),
            extra_env: BTreeMap::new(),
            provider: Arc::new(Provider::Process(Tools::find()?)),
            provider_reason: "a test".to_owned(),
            scenarios: scenarios.iter().copied().map(Planned::from).collect(),
            profile: Profile::Merge,
            jobs: 2,
            repeat: 1,
            fail_fast: false,
            keep_on_fail: false,
            seed: Seed(7),
            report_dir: dir.path().join("report"),
            command: "touchstone check".to_owned(),
        };
        Ok(Self {
            plan,
            sinks: Vec::new(),
            _dir: dir,
        })
    }

    pub(crate) fn run(self) -> Result<Outcome, RunError> {
        let (_sender, never) = watch::channel(None);
        let run_id = self.plan.run_id.clone();
        let outcome = run(self.plan, self.sinks, never);
        assert_nothing_left(&run_id);
        outcome
    }
}

fn manifest(dir: &Path, rest: &str) -> Result<Manifest, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let text = format!(
        "[subject]\nname = \"stub\"\ncommand = [{program:?}, \"the_subject\", \"--exact\", \"--ignored\", \"--nocapture\"]\n{rest}"
    );
    let path = dir.join("manifest.toml");
    std::fs::write(&path, text)?;
    Ok(Manifest::load(&path)?)
}

/// The run is over: neither its directory nor a process with its mark may be there.
pub(crate) fn assert_nothing_left(run_id: &str) {
    let bases = touchstone_engine::scope::base_dirs();
    let left: Vec<String> = touchstone_engine::sweep::find(&bases)
        .into_iter()
        .filter(|run| run.run_id == run_id)
        .flat_map(|run| run.things())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

pub(crate) fn verdict<'a>(outcome: &'a Outcome, id: &str) -> &'a Verdict {
    let records = &outcome.record.scenarios;
    let of_id = |record: &&touchstone_core::ScenarioRecord| record.criterion == id;
    &records.iter().find(of_id).expect("it has a record").verdict
}
