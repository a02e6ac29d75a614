//! The command line.

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use touchstone_core::{Profile, Seed};

/// An acceptance, fault and latency gate for services that depend on Redis and Postgres.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  every criterion of the profile holds     5  a benchmark regressed
  1  a criterion failed                       6  a benchmark cannot tell
  2  usage or configuration                  70  a bug in touchstone
  3  the environment could not be started   130  interrupted
  4  a verdict is unknown";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Gate a service: start it with real stores, break things, give a verdict
    Check(CheckArgs),
}

const CHECK_EXAMPLES: &str = "\
Examples:
  touchstone check --subject my-service.toml
  touchstone check HLTH RECON-1 --subject my-service.toml --provider process
  touchstone check HLTH-2 --repeat 20 --seed 0x2a
  touchstone check --list";

#[derive(Debug, clap::Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct CheckArgs {
    /// Criteria or areas, for instance HLTH-2 or KV; all of the profile when none is given
    pub(crate) filters: Vec<String>,

    /// The subject's manifest
    #[arg(
        long,
        value_name = "FILE",
        env = "TOUCHSTONE_SUBJECT",
        default_value = "fixtures/subjects/reference.toml"
    )]
    pub(crate) subject: PathBuf,

    /// Where the stores come from
    #[arg(long, value_enum, env = "TOUCHSTONE_PROVIDER", default_value = "auto")]
    pub(crate) provider: ProviderChoice,

    /// Which criteria are demanded: merge, or release (which contains merge)
    #[arg(long, default_value = "merge")]
    pub(crate) profile: Profile,

    /// How many scenarios run side by side [default: 4]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: Option<u16>,

    /// What every random choice follows from [default: chosen and printed]
    #[arg(long)]
    pub(crate) seed: Option<Seed>,

    /// How often each scenario is run; different verdicts are reported as flaky
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repeat: u32,

    /// Start nothing new after the first scenario that does not pass
    #[arg(long)]
    pub(crate) fail_fast: bool,

    /// Where reports go, in runs/ under the id of the run
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub(crate) report_dir: PathBuf,

    /// Environment for the subject, over the manifest's
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) env: Vec<(String, String)>,

    /// The container image for Redis
    #[arg(long, value_name = "IMAGE", env = "TOUCHSTONE_REDIS_IMAGE")]
    pub(crate) redis_image: Option<String>,

    /// The container image for Postgres
    #[arg(long, value_name = "IMAGE", env = "TOUCHSTONE_POSTGRES_IMAGE")]
    pub(crate) postgres_image: Option<String>,

    /// A registry to put before the default images' names
    #[arg(long, value_name = "PREFIX", env = "TOUCHSTONE_REGISTRY_PREFIX")]
    pub(crate) registry_prefix: Option<String>,

    /// List the criteria instead of checking them
    #[arg(long)]
    pub(crate) list: bool,

    /// Show steps and faults too
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProviderChoice {
    /// Docker if an engine answers and images are there or can be had, else process
    Auto,
    /// Containers
    Docker,
    /// Child processes
    Process,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}
