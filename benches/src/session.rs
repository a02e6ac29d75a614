//! What every rig stands on: a runtime, a scope with its reaper, a provider, and the note of the run.

use crate::record::load_average;
use crate::{BackendBuild, BenchError, BenchRun, Mode, PairedRatio, provider, tell};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use touchstone_engine::machine;
use touchstone_engine::scope::RunScope;
use touchstone_engine::store::Provider;

/// One run of one bench target. Everything started with its scope goes with it, also after a kill.
#[derive(Debug)]
pub struct Session {
    /// What the benchmark was started for.
    pub mode: Mode,
    pub(crate) runtime: Runtime,
    pub(crate) scope: Arc<RunScope>,
    pub(crate) provider: Arc<Provider>,
    note: RefCell<BenchRun>,
}

impl Session {
    /// Opens one for a bench target.
    pub fn open(bench: &str) -> Result<Self, BenchError> {
        let mode = Mode::of_process();
        // One thread: a client that waits for each answer has no use for a second.
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(BenchError::Runtime)?;
        let (provider, provider_reason) = runtime.block_on(provider::choose())?;
        let note = note(bench, &provider, provider_reason);
        let run_id = format!("bench-{bench}-{}", std::process::id());
        let with_docker = matches!(provider, Provider::Docker(_));
        Ok(Self {
            mode,
            runtime,
            scope: Arc::new(RunScope::create(&run_id, with_docker)?),
            provider: Arc::new(provider),
            note: RefCell::new(note),
        })
    }

    /// Notes a version.
    pub(crate) fn note_version(&self, of: &str, version: String) {
        self.note
            .borrow_mut()
            .versions
            .insert(of.to_owned(), version);
    }

    /// Notes, and says, how the measured backend was built.
    pub(crate) fn note_backend(&self, build: BackendBuild) {
        if self.mode == Mode::Measure {
            let BackendBuild { profile, opt_level } = &build;
            tell(&format!(
                "the backend is built with profile {profile} (opt-level {opt_level})"
            ));
        }
        let mut note = self.note.borrow_mut();
        note.backend = Some(build);
        note.load_before = load_average(); // Building it may have taken minutes.
    }

    /// Notes, and says, what was measured in pairs.
    pub fn note_ratio(&self, group: &str, pairs_ns: &[(u64, u64)]) {
        let Some(ratio) = PairedRatio::of(pairs_ns) else {
            return;
        };
        tell(&format!(
            "{group}: proxied takes {:.2} times as long as direct ({:.2} to {:.2} over {} blocks; {} pairs){}",
            ratio.ratio,
            ratio.ratio_lowest_block,
            ratio.ratio_highest_block,
            PairedRatio::BLOCKS,
            ratio.pairs,
            if ratio.wavers() {
                ": too wide a range to rely on, the machine was busy"
            } else {
                ""
            }
        ));
        self.note
            .borrow_mut()
            .ratios
            .insert(group.to_owned(), ratio);
    }

    /// The note of a measurement that is over now.
    pub(crate) fn finished_note(&self) -> BenchRun {
        BenchRun {
            finished_at: jiff::Timestamp::now(),
            load_after: load_average(),
            ..self.note.borrow().clone()
        }
    }

    /// Leaves the note of a measurement beside criterion's files. A smoke run leaves none.
    pub(crate) fn save_note(&self) -> Result<(), BenchError> {
        if self.mode == Mode::Smoke {
            return Ok(());
        }
        self.finished_note().save()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let closed = self
            .runtime
            .block_on(self.provider.close(self.scope.run_id()));
        if let Err(why) = closed {
            tell(&format!("{why}; `touchstone sweep` removes what is left"));
        }
    }
}

fn note(bench: &str, provider: &Provider, provider_reason: String) -> BenchRun {
    let now = jiff::Timestamp::now();
    let load = load_average();
    BenchRun {
        bench: bench.to_owned(),
        command: command(bench),
        started_at: now,
        finished_at: now,
        client_profile: if cfg!(debug_assertions) {
            "with debug assertions"
        } else {
            "bench"
        }
        .to_owned(),
        backend: None,
        provider: provider.name().to_owned(),
        provider_reason,
        versions: machine::versions(),
        machine: machine::describe(),
        load_before: load,
        load_after: load,
        ratios: BTreeMap::new(),
    }
}

fn command(bench: &str) -> String {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let mut command = format!("cargo bench -p touchstone-benches --bench {bench}");
    if !arguments.is_empty() {
        command.push_str(" -- ");
        command.push_str(&arguments.join(" "));
    }
    command
}
