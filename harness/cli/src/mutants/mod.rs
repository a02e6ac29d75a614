//! `touchstone mutants`: the proof that the criteria can fail. Each known defect of the subject is
//! switched on in turn, and the criterion that the manifest names for it must fail.

mod progress;
mod select;
mod table;

use crate::args::MutantsArgs;
use crate::signals::Signals;
use crate::{output, plan, provider, sweep};
use select::{Mutant, Selection};
use std::collections::BTreeMap;
use std::sync::Arc;
use touchstone_core::{EventSink, ExitCode, Profile, ScenarioRecord, Verdict};
use touchstone_engine::run::{Outcome, Plan, Planned, run};
use touchstone_engine::subject::Manifest;
use touchstone_engine::subject::process::READY_EXPECTATION;
use touchstone_report::writer::RunFolder;

/// Runs, or lists, the mutants; returns what the process is to end with.
pub(crate) fn mutants(args: &MutantsArgs) -> anyhow::Result<ExitCode> {
    if args.list {
        // A list needs no program.
        let manifest = Manifest::load(&args.subject.path)?;
        let selection = select::select(&manifest, &args.filters, true)?;
        output::print(&table::list(&selection))?;
        return Ok(ExitCode::Holds);
    }
    let signals = Signals::listen()?;
    let manifest = tolerant(plan::manifest(&args.subject.path)?);
    let selection = select::select(&manifest, &args.filters, false)?;
    sweep::silently()?;
    let (provider, provider_reason) = provider::choose(&args.provider, Some(&manifest))?;
    let run_id = plan::run_id();
    // Beside the runs of `check`, so that nobody takes a mutant's failure for the subject's.
    let folder = RunFolder::create(&args.run.report_dir.join("mutants"), &run_id, None)?;
    let report_dir = folder.path().to_owned();
    let progress = progress::Progress::new(&selection.mutants);
    let sinks: Vec<Box<dyn EventSink>> = vec![Box::new(folder), Box::new(progress)];
    let plan = Plan {
        run_id,
        manifest: Arc::new(manifest),
        extra_env: BTreeMap::new(),
        provider: Arc::new(provider),
        provider_reason,
        scenarios: selection.mutants.iter().map(Mutant::planned).collect(),
        profile: Profile::Release,
        jobs: args.run.jobs.unwrap_or(plan::JOBS_DEFAULT).into(),
        repeat: 1,
        fail_fast: false,
        keep_on_fail: false,
        seed: plan::seed(args.run.seed),
        report_dir: report_dir.clone(),
        command: plan::command(&args.subject, &args.provider),
    };
    let outcome = run(plan, sinks, signals.hand_over())?;
    let results = results(&selection, &outcome);
    output::print(&table::results(&selection, &results, &report_dir))?;
    Ok(exit_code(&outcome, &results))
}

/// A pass must stay a pass: failed for a deadline that the manifest has loosened without a word, it
/// would look like a catch. `check` has the say on that.
fn tolerant(mut manifest: Manifest) -> Manifest {
    for (name, ..) in manifest.deadlines.loosened() {
        let accepted = &mut manifest.policy.accept_looser;
        accepted.entry(name.to_owned()).or_default();
    }
    manifest
}

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Caught,
    Escaped,
    Unknown,
    NotRun,
}

impl Fate {
    fn of(record: &ScenarioRecord) -> Self {
        match &record.verdict {
            // A subject that does not even start under a defect proves nothing about the criterion,
            // and a defect whose name is misspelled looks just like that.
            Verdict::Fail(finding) if finding.expected == READY_EXPECTATION => Fate::Unknown,
            Verdict::Fail(_) => Fate::Caught,
            Verdict::Pass => Fate::Escaped,
            Verdict::Unknown { .. } => Fate::Unknown,
            Verdict::Skipped { .. } if record.not_run => Fate::NotRun,
            Verdict::Skipped { .. } => Fate::Escaped,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Fate::Caught => "caught",
            Fate::Escaped => "ESCAPED",
            Fate::Unknown => "unknown",
            Fate::NotRun => "not run",
        }
    }
}

/// A mutant with its record. The records come in the order of the plan, one a mutant.
type MutantResult<'a> = (&'a Mutant, &'a ScenarioRecord, Fate);

fn results<'a>(selection: &'a Selection, outcome: &'a Outcome) -> Vec<MutantResult<'a>> {
    let pairs = selection.mutants.iter().zip(&outcome.record.scenarios);
    pairs
        .map(|(mutant, record)| (mutant, record, Fate::of(record)))
        .collect()
}

fn exit_code(outcome: &Outcome, results: &[MutantResult<'_>]) -> ExitCode {
    let of_run = match outcome.exit_code {
        code @ (ExitCode::HarnessBug | ExitCode::Interrupted) => code,
        _ => ExitCode::Holds,
    };
    let of_result = |(_, record, fate): &MutantResult<'_>| match fate {
        Fate::Caught => ExitCode::Holds,
        Fate::Escaped => ExitCode::CriterionFailed,
        Fate::Unknown if record.environment_failed => ExitCode::Environment,
        Fate::Unknown | Fate::NotRun => ExitCode::Unknown,
    };
    ExitCode::most_severe(results.iter().map(of_result).chain([of_run]))
}

impl Mutant {
    fn planned(&self) -> Planned {
        Planned {
            scenario: self.scenario,
            extra_env: BTreeMap::from([(self.variable.clone(), self.name.clone())]),
        }
    }
}
