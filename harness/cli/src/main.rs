//! `touchstone`: an acceptance, fault and latency gate for services that depend on Redis and Postgres.

mod args;
mod check;
mod error;
mod plan;
mod provider;
mod signals;

use args::{Args, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    trace_to_stderr();
    let ended = match args.command {
        Command::Check(args) => check::check(&args),
    };
    let code = ended.unwrap_or_else(|error| error::report(&error));
    ExitCode::from(code.number())
}

/// The harness's own warnings; `TOUCHSTONE_LOG=debug` shows more.
fn trace_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TOUCHSTONE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
