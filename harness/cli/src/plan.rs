//! From arguments to a plan: which criteria, with which seed, on what.

use crate::args::{ProviderArgs, SubjectArgs};
use crate::error::UsageError;
use std::path::{Path, PathBuf};
use touchstone_core::{Profile, Seed};
use touchstone_engine::run::shell_word;
use touchstone_engine::scenario::Scenario;
use touchstone_engine::subject::Manifest;
use touchstone_engine::subject::process::{program_and_dir, program_exists};

/// Side by side by default: scenarios mostly wait for timeouts, so more than the cores.
pub(crate) const JOBS_DEFAULT: u16 = 4;

/// The profile's scenarios that the filters select. A filter that selects nothing is an error.
pub(crate) fn select(filters: &[String], profile: Profile) -> anyhow::Result<Vec<Scenario>> {
    let all = touchstone_scenarios::all;
    let of_profile = || all().filter(|s| s.criterion.profile <= profile);
    for filter in filters {
        if of_profile().any(|s| s.criterion.matches(filter)) {
            continue;
        }
        let elsewhere = all().find(|s| s.criterion.matches(filter));
        anyhow::bail!(UsageError(match elsewhere {
            Some(other) => format!(
                "`{filter}` belongs to the {0} profile and this run is of the {profile} profile; add --profile {0}",
                other.criterion.profile
            ),
            None => {
                let known: Vec<&str> = of_profile().map(|s| s.criterion.id).collect();
                format!(
                    "the filter `{filter}` matches no criterion of the {profile} profile; expected an area or one of {}",
                    known.join(", ")
                )
            }
        }));
    }
    let selected = |s: &&Scenario| {
        filters.is_empty() || filters.iter().any(|filter| s.criterion.matches(filter))
    };
    Ok(of_profile().filter(selected).copied().collect())
}

/// The manifest, if the program that it names is there.
pub(crate) fn manifest(path: &Path) -> anyhow::Result<Manifest> {
    let manifest = Manifest::load(path)?;
    match program_problem(&manifest) {
        None => Ok(manifest),
        Some(problem) => anyhow::bail!(UsageError(problem)),
    }
}

/// Why the subject's program cannot be started, if that can be seen beforehand.
pub(crate) fn program_problem(manifest: &Manifest) -> Option<String> {
    let (program, dir) = program_and_dir(manifest);
    let path = manifest.path.display();
    if !dir.is_dir() {
        let dir = dir.display();
        return Some(format!(
            "the working directory {dir} is not there; correct `subject.working_dir` in {path}"
        ));
    }
    if program_exists(&program) {
        return None;
    }
    Some(format!(
        "the subject's program `{}` is not there, or may not be run (working directory {}); build it, or correct `subject.command` in {path}",
        program.display(),
        dir.display(),
    ))
}

/// The seed that was asked for, or one from the clock.
pub(crate) fn seed(asked: Option<Seed>) -> Seed {
    let now = jiff::Timestamp::now().as_nanosecond();
    // Folded to 32 bits: short enough to be typed.
    asked.unwrap_or(Seed(((now >> 16) as u64) & 0xffff_ffff))
}

/// A name for the run that sorts by time and is unique on this machine.
pub(crate) fn run_id() -> String {
    let now = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    format!("{now}-{}", std::process::id())
}

/// How the reader can check again: with the program, the manifest, the servers and the images of this run.
pub(crate) fn command(subject: &SubjectArgs, provider: &ProviderArgs) -> String {
    let program = std::env::args()
        .next()
        .unwrap_or_else(|| "touchstone".to_owned());
    let mut command = format!(
        "{} check --subject {}",
        shell_word(&program),
        shell_word(&subject.path.display().to_string())
    );
    let servers = &provider.servers;
    for (flag, path, variable) in [
        (
            "--redis-server",
            &servers.redis_server,
            "TOUCHSTONE_REDIS_SERVER",
        ),
        (
            "--second-redis-server",
            &servers.second_redis_server,
            "TOUCHSTONE_SECOND_REDIS_SERVER",
        ),
    ] {
        // Whoever repeats it may not have our environment.
        let named = || std::env::var_os(variable).filter(|value| !value.is_empty());
        if let Some(path) = path.clone().or_else(|| named().map(PathBuf::from)) {
            command += &format!(" {flag} {}", shell_word(&path.display().to_string()));
        }
    }
    let images = &provider.images;
    for (flag, value) in [
        ("--redis-image", &images.redis_image),
        ("--postgres-image", &images.postgres_image),
        ("--registry-prefix", &images.registry_prefix),
    ] {
        if let Some(value) = value {
            command += &format!(" {flag} {}", shell_word(value));
        }
    }
    command
}
