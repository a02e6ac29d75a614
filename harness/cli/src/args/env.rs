//! Arguments of `touchstone env`.

use super::ProviderArgs;
use clap::Subcommand;
use std::path::PathBuf;

const ENV_EXAMPLES: &str = "\
Examples:
  export $(touchstone env up)
  touchstone env up --name shop --subject my-service.toml --json
  touchstone env status
  touchstone env status --name shop --export
  touchstone env down --name shop

The stores run until `down`. Their data lies in memory where there is room for it, and none of it survives a
power cut. Exit codes: 0 it is so, 2 usage, 3 a store does not start, does not serve or cannot be removed.";

#[derive(Debug, clap::Args)]
#[command(after_help = ENV_EXAMPLES)]
pub(crate) struct EnvArgs {
    #[command(subcommand)]
    pub(crate) command: EnvCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EnvCommand {
    /// Start a Redis and a Postgres, and print their URLs as lines of environment
    Up(EnvUpArgs),
    /// End them, and remove their data
    Down(EnvDownArgs),
    /// Say what runs, and whether it serves
    Status(EnvStatusArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct EnvUpArgs {
    /// What it is called
    #[arg(long, default_value = ENV_NAME_DEFAULT, value_parser = env_name)]
    pub(crate) name: String,

    /// A manifest whose schema is loaded into Postgres, and whose Redis database is used
    #[arg(long = "subject", value_name = "FILE", env = "TOUCHSTONE_SUBJECT")]
    pub(crate) subject: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) provider: ProviderArgs,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EnvDownArgs {
    /// Which one; after `check --keep-on-fail`, the id of the run
    #[arg(long, default_value = ENV_NAME_DEFAULT)]
    pub(crate) name: String,

    /// All of them
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EnvStatusArgs {
    /// Only this one; after `check --keep-on-fail`, the id of the run
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// Print the URLs, with their passwords, as lines of environment
    #[arg(long, requires = "name", conflicts_with = "json")]
    pub(crate) export: bool,

    /// Of several pairs of one run, that of this scenario
    #[arg(long, value_name = "SCENARIO", requires = "name")]
    pub(crate) of: Option<String>,

    /// Print JSON, with the URLs and their passwords
    #[arg(long)]
    pub(crate) json: bool,
}

const ENV_NAME_DEFAULT: &str = "default";

/// A part of the names of a directory, of processes and of containers.
fn env_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=32).contains(&text.len()) && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is no name; expected 1 to 32 letters, digits, `-` or `_`"
        ))
    }
}
