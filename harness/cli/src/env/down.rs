//! `touchstone env down`.

use crate::args::EnvDownArgs;
use crate::output;
use touchstone_core::ExitCode;
use touchstone_engine::kept::RUN_ID_PREFIX;
use touchstone_engine::scope::base_dirs;
use touchstone_engine::sweep::{self, LeftRun, Owner};
use touchstone_engine::{kept, store::docker};

/// Ends what is kept under a name, or all of it, and removes its data.
pub(super) fn down(args: &EnvDownArgs) -> anyhow::Result<ExitCode> {
    crate::runtime()?.block_on(async {
        let (found, no_containers) = look().await;
        let asked: Vec<&LeftRun> = found.iter().filter(|run| is_asked(run, args)).collect();
        if asked.is_empty() {
            output::complain(&nothing(args));
        }
        let mut problems = Vec::new();
        for run in asked {
            problems.extend(remove(run, no_containers.as_ref()).await?);
        }
        for problem in &problems {
            output::complain(&format!("error: could not be removed: {problem}"));
        }
        Ok(match problems.is_empty() {
            true => ExitCode::Holds,
            false => ExitCode::Environment,
        })
    })
}

/// By what they carry, not by what the files say: those may be gone.
async fn look() -> (Vec<LeftRun>, Option<docker::Why>) {
    let mut found = sweep::find(&base_dirs());
    let containers = sweep::add_containers(&mut found).await;
    (found, containers.err())
}

fn is_asked(run: &LeftRun, args: &EnvDownArgs) -> bool {
    let name = run.run_id.strip_prefix(RUN_ID_PREFIX);
    let is_kept = run.owner == Owner::Kept || run.paths.iter().any(|dir| kept::read(dir).is_some());
    let is_named = args.all || run.run_id == args.name || name == Some(args.name.as_str());
    is_kept && is_named
}

/// Returns what is not gone, and why.
async fn remove(run: &LeftRun, no_containers: Option<&docker::Why>) -> anyhow::Result<Vec<String>> {
    if let Owner::Alive(pid) = run.owner {
        return Ok(vec![format!(
            "{}: its run is under way, pid {pid}",
            run.run_id
        )]);
    }
    let kept = run.paths.iter().find_map(|dir| kept::read(dir));
    if let (Some(kept), Some(why)) = (&kept, no_containers)
        && kept.provider == "docker"
    {
        return Ok(vec![format!("{}: its containers: {why}", kept.name)]);
    }
    let problems = sweep::remove(run).await;
    if problems.is_empty() {
        let name = kept.map_or_else(|| run.run_id.clone(), |kept| kept.name);
        output::print(&format!("{name}: removed, with its data\n"))?;
    }
    Ok(problems)
}

fn nothing(args: &EnvDownArgs) -> String {
    match args.all {
        true => "nothing is kept".to_owned(),
        false => format!(
            "nothing is kept under the name `{}`; `touchstone env status` says what is",
            args.name
        ),
    }
}
