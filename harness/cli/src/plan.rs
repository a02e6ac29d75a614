//! From arguments to a plan: which criteria, with which seed, on what.

use crate::args::CheckArgs;
use crate::error::UsageError;
use std::path::Path;
use touchstone_core::{Profile, Seed};
use touchstone_engine::scenario::Scenario;
use touchstone_engine::subject::Manifest;
use touchstone_engine::subject::process::{program_and_dir, program_exists};

/// The profile's scenarios that the filters select. A filter that selects nothing is an error.
pub(crate) fn select(filters: &[String], profile: Profile) -> anyhow::Result<Vec<Scenario>> {
    let of_profile = || touchstone_scenarios::all().filter(|s| s.criterion.profile <= profile);
    let unmatched = filters
        .iter()
        .find(|filter| !of_profile().any(|s| s.criterion.matches(filter)));
    if let Some(filter) = unmatched {
        let known: Vec<&str> = of_profile().map(|s| s.criterion.id).collect();
        anyhow::bail!(UsageError(format!(
            "the filter `{filter}` matches no criterion of the {profile} profile; expected an area or one of {}",
            known.join(", ")
        )));
    }
    let selected = |s: &&Scenario| {
        filters.is_empty() || filters.iter().any(|filter| s.criterion.matches(filter))
    };
    Ok(of_profile().filter(selected).copied().collect())
}

/// The manifest, if the program that it names is there.
pub(crate) fn manifest(path: &Path) -> anyhow::Result<Manifest> {
    let manifest = Manifest::load(path)?;
    let (program, dir) = program_and_dir(&manifest);
    if !program_exists(&program) {
        anyhow::bail!(UsageError(format!(
            "the subject's program `{}` is not there (working directory {}); build it, or correct `subject.command` in {}",
            program.display(),
            dir.display(),
            path.display()
        )));
    }
    Ok(manifest)
}

/// The seed that was asked for, or one from the clock.
pub(crate) fn seed(asked: Option<Seed>) -> Seed {
    let now = jiff::Timestamp::now().as_nanosecond();
    // Folded to 32 bits: short enough to be typed.
    asked.unwrap_or_else(|| Seed(((now >> 16) as u64) & 0xffff_ffff))
}

/// A name for the run that sorts by time and is unique on this machine.
pub(crate) fn run_id() -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    format!("{now}-{}", std::process::id())
}

/// How the reader can call us again: as we were called, with the manifest.
pub(crate) fn command(args: &CheckArgs) -> String {
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "touchstone".to_owned());
    format!("{program} check --subject {}", args.subject.display())
}
