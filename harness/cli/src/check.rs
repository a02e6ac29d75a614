//! `touchstone check`.

use crate::args::CheckArgs;
use crate::{plan, provider, signals};
use std::path::PathBuf;
use std::sync::Arc;
use touchstone_core::{EventSink, ExitCode};
use touchstone_engine::run::{Plan, run};
use touchstone_report::terminal::{Terminal, TerminalOptions, Verbosity};
use touchstone_report::writer::RunFolder;

/// Side by side by default: scenarios mostly wait for timeouts, so more than the cores.
const JOBS_DEFAULT: u16 = 4;

/// Checks, or lists, the criteria; returns what the process is to end with.
pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let scenarios = plan::select(&args.filters, args.profile)?;
    if args.list {
        list(&scenarios);
        return Ok(ExitCode::Holds);
    }
    let manifest = plan::manifest(&args.subject)?;
    let (provider, provider_reason) = provider::choose(args, &manifest)?;
    let cancelled = signals::listen()?;
    let run_id = plan::run_id();
    let step_summary = std::env::var_os("GITHUB_STEP_SUMMARY").map(PathBuf::from);
    let folder = RunFolder::create(&args.report_dir, &run_id, step_summary)?;
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
        scenarios,
        profile: args.profile,
        jobs: args.jobs.unwrap_or(JOBS_DEFAULT).into(),
        repeat: args.repeat,
        fail_fast: args.fail_fast,
        seed: plan::seed(args.seed),
        report_dir,
        command: plan::command(args),
    };
    let outcome = run(plan, sinks, cancelled)?;
    for error in &outcome.sink_errors {
        tracing::warn!("a report failed: {error}");
    }
    Ok(outcome.exit_code)
}

#[expect(clippy::print_stdout, reason = "the list is the answer")]
fn list(scenarios: &[touchstone_engine::scenario::Scenario]) {
    for scenario in scenarios {
        let criterion = scenario.criterion;
        println!(
            "{:<8} {:<8} {}",
            criterion.id, criterion.profile, criterion.statement
        );
    }
}
