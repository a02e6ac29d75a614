//! `touchstone`: an acceptance, fault and latency gate for services that depend on Redis and Postgres.

mod args;
mod check;
mod doctor;
mod env;
mod error;
mod explain;
mod generate;
mod mutants;
mod output;
mod plan;
mod provider;
mod proxy;
mod signals;
mod sweep;

use args::{Args, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    trace_to_stderr();
    // A panic is a bug of ours and has its own exit code; its message is printed where it happens.
    let ended = std::panic::catch_unwind(|| match &args.command {
        Command::Check(args) => check::check(args),
        Command::Mutants(args) => mutants::mutants(args),
        Command::Explain(args) => explain::explain(args),
        Command::Env(args) => env::env(&args.command),
        Command::Proxy(args) => proxy::proxy(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Sweep(args) => sweep::sweep(args),
        Command::Schema => generate::schema(),
        Command::Completions(args) => generate::completions(args),
        Command::Man(args) => generate::man(args),
    });
    let code = match ended {
        Ok(ended) => ended.unwrap_or_else(|error| error::report(&error)),
        Err(_) => touchstone_core::ExitCode::HarnessBug,
    };
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

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
