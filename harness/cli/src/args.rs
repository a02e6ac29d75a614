//! The command line.

mod env;

pub(crate) use env::{EnvArgs, EnvCommand, EnvDownArgs, EnvStatusArgs, EnvUpArgs};

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
    /// Prove that the criteria can fail: switch on one known defect at a time
    Mutants(MutantsArgs),
    /// Say what a criterion demands, how it is checked, and what it needs
    Explain(ExplainArgs),
    /// Keep a pair of stores running to work against by hand
    Env(EnvArgs),
    /// Stand before a store as a proxy that can be broken over HTTP
    Proxy(ProxyArgs),
    /// Say what is here, what is missing, and what to do
    Doctor(DoctorArgs),
    /// Find and remove what runs that died have left behind
    Sweep(SweepArgs),
    /// Print the JSON schema of record.json
    Schema,
    /// Print a script that completes commands, options and criteria in a shell
    Completions(CompletionsArgs),
    /// Print the manual page of touchstone, or of one of its commands
    Man(ManArgs),
}

const CHECK_EXAMPLES: &str = "\
Examples:
  touchstone check --subject my-service.toml
  touchstone check HLTH RECON-1 --subject my-service.toml --provider process
  touchstone check HLTH-2 --repeat 20 --seed 0x2a
  touchstone check KV-1 --env LOG_LEVEL=debug --verbose
  touchstone check CACHE-6 --keep-on-fail
  touchstone check --profile release --list";

#[derive(Debug, clap::Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct CheckArgs {
    /// Criteria or areas, for instance HLTH-2 or KV; all of the profile when none is given
    pub(crate) filters: Vec<String>,

    #[command(flatten)]
    pub(crate) subject: SubjectArgs,

    #[command(flatten)]
    pub(crate) provider: ProviderArgs,

    /// Which criteria are demanded: merge, or release (which contains merge)
    #[arg(long, default_value = "merge")]
    pub(crate) profile: Profile,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// How often each scenario is run; different verdicts are reported as flaky
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) repeat: u32,

    /// Start nothing new after the first scenario that does not pass
    #[arg(long)]
    pub(crate) fail_fast: bool,

    /// Leave the stores of the first scenarios that fail running, to be looked into; see `touchstone env`
    #[arg(long)]
    pub(crate) keep_on_fail: bool,

    /// Environment for the subject, over the manifest's; values of secrets are not printed
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) env: Vec<(String, String)>,

    /// List the criteria instead of checking them
    #[arg(long)]
    pub(crate) list: bool,

    /// Show steps and faults too
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

const MUTANTS_EXAMPLES: &str = "\
Examples:
  touchstone mutants --subject my-service.toml
  touchstone mutants health-lies RECON --jobs 2
  touchstone mutants --list

Exit codes: 0 all caught, 1 one escaped, 4 it cannot be told; the others as for `check`.";

#[derive(Debug, clap::Args)]
#[command(after_help = MUTANTS_EXAMPLES)]
pub(crate) struct MutantsArgs {
    /// Mutants, criteria or areas; every mutant of the manifest when none is given
    pub(crate) filters: Vec<String>,

    #[command(flatten)]
    pub(crate) subject: SubjectArgs,

    #[command(flatten)]
    pub(crate) provider: ProviderArgs,

    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// List the mutants instead of running them
    #[arg(long)]
    pub(crate) list: bool,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  touchstone explain HLTH-2
  touchstone explain RECON --subject my-service.toml";

#[derive(Debug, clap::Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub(crate) struct ExplainArgs {
    /// Criteria or areas
    #[arg(required = true)]
    pub(crate) filters: Vec<String>,

    #[command(flatten)]
    pub(crate) subject: SubjectArgs,
}

const PROXY_EXAMPLES: &str = "\
Examples:
  touchstone proxy --listen 127.0.0.1:6380 --upstream 127.0.0.1:6379 --protocol redis
  touchstone proxy --config proxies.json --seed 0x2a
  touchstone proxy                     # clients of Toxiproxy make the proxies
The API is that of Toxiproxy 2.x, and rules beside it: docs/PROXY.md.

Exit codes: 0 ended by SIGINT or SIGTERM, 2 usage, 3 a port is taken.";

#[derive(Debug, clap::Args)]
#[command(after_help = PROXY_EXAMPLES)]
pub(crate) struct ProxyArgs {
    /// Where a proxy listens
    #[arg(long, value_name = "ADDR", requires = "upstream")]
    pub(crate) listen: Option<String>,

    /// Where it leads
    #[arg(long, value_name = "ADDR", requires = "listen")]
    pub(crate) upstream: Option<String>,

    /// What its bytes mean; rules need to know
    #[arg(long, value_enum, default_value = "tcp", requires = "listen")]
    pub(crate) protocol: WireArg,

    /// What it is called in the API
    #[arg(long, default_value = "proxy", requires = "listen")]
    pub(crate) name: String,

    /// End TLS here, with this certificate (PEM); without it TLS passes on untouched, and is not decoded
    #[arg(long, value_name = "FILE", requires = "tls_key", requires = "listen")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Speak TLS to the upstream, and trust this authority (PEM)
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(crate) upstream_tls_ca: Option<PathBuf>,

    /// The name in its certificate [default: the host of --upstream]
    #[arg(long, value_name = "NAME", requires = "upstream_tls_ca")]
    pub(crate) upstream_tls_name: Option<String>,

    /// Proxies to open, as JSON: [{"name": .., "listen": .., "upstream": .., "protocol": ..}]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where the HTTP API listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8474")]
    pub(crate) api: String,

    /// What every random choice follows from [default: chosen and printed]
    #[arg(long)]
    pub(crate) seed: Option<Seed>,

    /// Let the API and proxies listen where other machines can reach them
    #[arg(long)]
    pub(crate) allow_remote: bool,
}

/// Protocols by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WireArg {
    /// RESP
    Redis,
    /// The frontend protocol, version 3
    Postgres,
    /// Any bytes
    Tcp,
}

const DOCTOR_EXAMPLES: &str = "\
Exit codes: 0 at least one provider can work, 3 none can.";

#[derive(Debug, clap::Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) subject: SubjectArgs,

    #[command(flatten)]
    pub(crate) images: ImageArgs,
}

const SWEEP_EXAMPLES: &str = "\
Runs whose owner lives are never touched, and what was kept on purpose only with --kept. Exit codes: 0 nothing is left, 3 something could not be removed.";

#[derive(Debug, clap::Args)]
#[command(after_help = SWEEP_EXAMPLES)]
pub(crate) struct SweepArgs {
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Remove also what carries the mark of a run but does not name its owner
    #[arg(long)]
    pub(crate) all: bool,

    /// Remove also what was kept on purpose, by `env up` or `check --keep-on-fail`
    #[arg(long)]
    pub(crate) kept: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Of which command, for instance `check` or `env up`; of touchstone itself when none is given
    pub(crate) command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SubjectArgs {
    /// The subject's manifest
    #[arg(
        long = "subject",
        value_name = "FILE",
        env = "TOUCHSTONE_SUBJECT",
        default_value = "fixtures/subjects/reference.toml"
    )]
    pub(crate) path: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ProviderArgs {
    /// Where the stores come from
    #[arg(
        long = "provider",
        value_name = "PROVIDER",
        value_enum,
        env = "TOUCHSTONE_PROVIDER",
        default_value = "auto"
    )]
    pub(crate) choice: ProviderChoice,

    #[command(flatten)]
    pub(crate) servers: ServerArgs,

    #[command(flatten)]
    pub(crate) images: ImageArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ServerArgs {
    /// The Redis server for child processes [default: TOUCHSTONE_REDIS_SERVER, else found]
    #[arg(long, value_name = "PATH")]
    pub(crate) redis_server: Option<PathBuf>,

    /// One of another version, for CONN-1 [default: TOUCHSTONE_SECOND_REDIS_SERVER]
    #[arg(long, value_name = "PATH")]
    pub(crate) second_redis_server: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    /// The container image for Redis
    #[arg(long, value_name = "IMAGE", env = "TOUCHSTONE_REDIS_IMAGE")]
    pub(crate) redis_image: Option<String>,

    /// The container image for Postgres
    #[arg(long, value_name = "IMAGE", env = "TOUCHSTONE_POSTGRES_IMAGE")]
    pub(crate) postgres_image: Option<String>,

    /// A registry to put before the default images' names
    #[arg(long, value_name = "PREFIX", env = "TOUCHSTONE_REGISTRY_PREFIX")]
    pub(crate) registry_prefix: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// How many scenarios run side by side [default: 4]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: Option<u16>,

    /// What every random choice follows from [default: chosen and printed]
    #[arg(long)]
    pub(crate) seed: Option<Seed>,

    /// Where reports go, in runs/ under the id of the run
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub(crate) report_dir: PathBuf,
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
