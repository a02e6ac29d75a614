//! `touchstone check`.

use crate::args::CheckArgs;
use crate::signals::Signals;
use crate::{output, plan, provider, sweep};
use std::path::PathBuf;
use std::sync::Arc;
use touchstone_core::{EventSink, ExitCode, Profile};
use touchstone_engine::run::{Plan, run};
use touchstone_engine::scenario::Scenario;
use touchstone_report::terminal::{Terminal, TerminalOptions, Verbosity};
use touchstone_report::writer::RunFolder;

/// Checks, or lists, the criteria; returns what the process is to end with.
pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let scenarios = plan::select(&args.filters, args.profile)?;
    if args.list {
        output::print(&list(&scenarios, args.profile))?;
        return Ok(ExitCode::Holds);
    }
    let signals = Signals::listen()?;
    let manifest = plan::manifest(&args.subject.path)?;
    sweep::silently()?;
    let (provider, provider_reason) = provider::choose(&args.provider, Some(&manifest))?;
    let run_id = plan::run_id();
    let step_summary = std::env::var_os("GITHUB_STEP_SUMMARY").map(PathBuf::from);
    let folder = RunFolder::create(&args.run.report_dir, &run_id, step_summary)?;
    let report_dir = folder.path().to_owned();
    let terminal = Terminal::stdout(TerminalOptions {
        verbosity: if args.verbose {
            Verbosity::Verbose
        } else {
            Verbosity::Normal
        },
        report_folder: Some(report_dir.clone()),
        ..TerminalOptions::default()
    });
    let sinks: Vec<Box<dyn EventSink>> = vec![Box::new(folder), Box::new(terminal)];
    let plan = Plan {
        run_id,
        manifest: Arc::new(manifest),
        extra_env: args.env.iter().cloned().collect(),
        provider: Arc::new(provider),
        provider_reason,
        scenarios: scenarios.into_iter().map(Into::into).collect(),
        profile: args.profile,
        jobs: args.run.jobs.unwrap_or(plan::JOBS_DEFAULT).into(),
        repeat: args.repeat,
        fail_fast: args.fail_fast,
        keep_on_fail: args.keep_on_fail,
        seed: plan::seed(args.run.seed),
        report_dir,
        command: plan::command(&args.subject, &args.provider),
    };
    let outcome = run(plan, sinks, signals.hand_over())?;
    for error in &outcome.sink_errors {
        // Whoever reads our output has seen enough of it; the other reports are there all the same.
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            tracing::warn!("a report failed: {error}");
        }
    }
    Ok(outcome.exit_code)
}

fn list(scenarios: &[Scenario], profile: Profile) -> String {
    let line = |scenario: &Scenario| {
        let criterion = scenario.criterion;
        let profile = criterion.profile.to_string();
        format!("{:<9} {profile:<8} {}\n", criterion.id, criterion.statement)
    };
    let lines: String = scenarios.iter().map(line).collect();
    format!("{lines}{} criteria, profile {profile}\n", scenarios.len())
}
