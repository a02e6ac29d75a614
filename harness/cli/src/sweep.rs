//! `touchstone sweep`.

use crate::args::SweepArgs;
use crate::output;
use touchstone_core::ExitCode;
use touchstone_engine::scope::base_dirs;
use touchstone_engine::sweep::{self, LeftRun, Owner};

/// Finds, removes, and says what was found and removed.
pub(crate) fn sweep(args: &SweepArgs) -> anyhow::Result<ExitCode> {
    crate::runtime()?.block_on(async {
        let Seen {
            found,
            no_containers,
        } = look().await;
        let judge = Judge {
            args,
            saw_containers: no_containers.is_none(),
        };
        let mut problems = Vec::new();
        for run in &found {
            let (word, is_to_go) = judge.fate(run);
            output::print(&told(run, &word))?;
            if is_to_go && !args.dry_run {
                problems.extend(sweep::remove(run).await);
            }
        }
        if let Some(why) = no_containers {
            output::print(&format!("Containers were not looked for: {why}\n"))?;
        }
        if args.dry_run {
            let count = found.iter().filter(|run| judge.fate(run).1).count();
            output::print(&dry_ending(count))?;
            return Ok(ExitCode::Holds);
        }
        ending(&found, &judge, problems).await
    })
}

/// Before a run: removes what dead ones left in the directories that this one may use.
pub(crate) fn silently() -> std::io::Result<()> {
    let removed = crate::runtime()?.block_on(sweep::sweep_dead(&base_dirs()));
    for run in removed {
        tracing::info!("removed what the dead run {} left", run.run_id);
    }
    Ok(())
}

/// What a look has shown.
struct Seen {
    /// Everything of every run.
    found: Vec<LeftRun>,
    /// Why containers are not among it, if they are not.
    no_containers: Option<String>,
}

async fn look() -> Seen {
    let mut found = sweep::find(&base_dirs());
    let containers = sweep::add_containers(&mut found).await;
    Seen {
        found,
        no_containers: containers.err().map(|why| why.what),
    }
}

/// Decides what is to go.
struct Judge<'a> {
    args: &'a SweepArgs,
    saw_containers: bool,
}

impl Judge<'_> {
    /// What becomes of a run's things: a word for it, and whether they are to go.
    fn fate(&self, run: &LeftRun) -> (String, bool) {
        let removed = if self.args.dry_run {
            "would remove"
        } else {
            "removing"
        };
        match run.owner {
            Owner::Alive(pid) => (format!("in use by pid {pid}"), false),
            Owner::Dead => (removed.to_owned(), true),
            Owner::Kept if run.is_deserted(self.saw_containers) => {
                (format!("{removed}, kept, but nothing of it runs"), true)
            }
            Owner::Kept if self.args.kept => (format!("{removed}, kept until now"), true),
            Owner::Kept => (
                "left alone, kept on purpose (`touchstone env down` or --kept removes it)"
                    .to_owned(),
                false,
            ),
            Owner::Unknown if self.args.all => (format!("{removed}, its owner unknown"), true),
            Owner::Unknown => (
                "left alone, its owner unknown (--all removes it)".to_owned(),
                false,
            ),
        }
    }
}

fn told(run: &LeftRun, word: &str) -> String {
    let mut text = format!("{}: {word}\n", run.run_id);
    if matches!(run.owner, Owner::Alive(_)) {
        return text;
    }
    for thing in run.things() {
        text += &format!("  {thing}\n");
    }
    text
}

fn dry_ending(count: usize) -> String {
    match count {
        0 => "Nothing is left of dead runs.\n".to_owned(),
        1 => "1 dead run has left something; `touchstone sweep` removes it.\n".to_owned(),
        _ => format!("{count} dead runs have left something; `touchstone sweep` removes it.\n"),
    }
}

/// Looks again, so that the last line is what was seen and not what was meant.
async fn ending(
    before: &[LeftRun],
    judge: &Judge<'_>,
    mut problems: Vec<String>,
) -> anyhow::Result<ExitCode> {
    let after = look().await.found;
    for run in after.iter().filter(|run| judge.fate(run).1) {
        // A run that has died since the first look is the next sweep's.
        if before
            .iter()
            .any(|seen| seen.run_id == run.run_id && judge.fate(seen).1)
        {
            let untold = |thing: &String| !problems.iter().any(|told| told.starts_with(thing));
            let things: Vec<String> = run.things().into_iter().filter(untold).collect();
            problems.extend(things.iter().map(|thing| format!("{thing}: still there")));
        }
    }
    if problems.is_empty() {
        output::print("Nothing is left of dead runs.\n")?;
        return Ok(ExitCode::Holds);
    }
    for problem in problems {
        output::complain(&format!("error: could not be removed: {problem}"));
    }
    Ok(ExitCode::Environment)
}
