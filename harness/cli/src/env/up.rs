//! `touchstone env up`.

use super::{Looked, lines, named, pretty};
use crate::args::{EnvUpArgs, ProviderChoice};
use crate::error::UsageError;
use crate::signals::Signals;
use crate::{output, provider, sweep};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::sync::watch;
use touchstone_core::ExitCode;
use touchstone_engine::kept::{self, Kept, KeptError, RUN_ID_PREFIX};
use touchstone_engine::scope::{RunScope, ScopeError};
use touchstone_engine::store::Provider;
use touchstone_engine::subject::Manifest;

/// How long a start that is under way at an interruption may take to come to its end: dropped in the middle it would
/// leave the container that the engine goes on to create.
const START_GRACE: Duration = Duration::from_secs(5);

/// Starts a pair of stores; or says what runs under this name already.
pub(super) fn up(args: &EnvUpArgs) -> anyhow::Result<ExitCode> {
    let signals = Signals::listen()?;
    let manifest = match &args.subject {
        Some(path) => Some(Manifest::load(path)?),
        None => None,
    };
    sweep::silently()?;
    if let Some(kept) = named(&args.name) {
        return runs_already(args, &kept);
    }
    let (provider, reason) = provider::choose(&args.provider, manifest.as_ref())?;
    let started = start(args, &provider, manifest.as_ref(), signals.hand_over())?;
    let Some(kept) = started else {
        output::complain("interrupted: nothing was left running");
        return Ok(ExitCode::Interrupted);
    };
    output::complain(&format!(
        "{} is up on {} ({reason})",
        kept.name, kept.provider
    ));
    tell(args, &kept)
}

/// `None` after an interruption.
fn start(
    args: &EnvUpArgs,
    provider: &Provider,
    manifest: Option<&Manifest>,
    mut cancelled: watch::Receiver<Option<String>>,
) -> anyhow::Result<Option<Kept>> {
    let run_id = format!("{RUN_ID_PREFIX}{}", args.name);
    let with_docker = provider.name() == "docker";
    let runtime = crate::runtime()?;
    let scope = match RunScope::create_to_keep(&run_id, with_docker) {
        Ok(scope) => scope,
        Err(error) => return Err(no_scope(&args.name, error)),
    };
    runtime.block_on(async {
        let mut start = Box::pin(kept::start(&args.name, &scope, provider, manifest));
        let ended = tokio::select! {
            ended = &mut start => ended.map(Some),
            _ = cancelled.wait_for(Option::is_some) => {
                // What has come to its end by then is dropped, and ends with that.
                let _ = tokio::time::timeout(START_GRACE, start).await;
                Ok(None)
            }
        };
        if let Ok(Some(started)) = ended {
            return Ok(Some(started.leave(&scope).await?));
        }
        // The containers' memory is a container, too.
        if let Err(why) = provider.close(&run_id).await {
            tracing::warn!("something may be left, `touchstone sweep --kept` finds it: {why}");
        }
        ended.map(|_| None).map_err(Into::into)
    })
}

fn no_scope(name: &str, error: ScopeError) -> anyhow::Error {
    match &error {
        ScopeError::Directory { path, source } if source.kind() == ErrorKind::AlreadyExists => {
            UsageError(format!(
                "`{name}` is being started by somebody else, or was left half made in {}; `touchstone sweep` says which",
                path.display()
            ))
            .into()
        }
        _ => KeptError::Environment(error.into()).into(),
    }
}

/// The one that runs is told, never changed.
fn runs_already(args: &EnvUpArgs, kept: &Kept) -> anyhow::Result<ExitCode> {
    let name = &kept.name;
    let asked = match args.provider.choice {
        ProviderChoice::Auto => None,
        ProviderChoice::Docker => Some("docker"),
        ProviderChoice::Process => Some("process"),
    };
    if let Some(asked) = asked.filter(|asked| *asked != kept.provider) {
        anyhow::bail!(UsageError(format!(
            "`{name}` runs on {}, not on {asked}; end it with `touchstone env down --name {name}`, or take another --name",
            kept.provider
        )));
    }
    let schema = match args.subject {
        Some(_) => "; the schema was not loaded again",
        None => "",
    };
    output::complain(&format!("{name} runs already{schema}"));
    tell(args, kept)
}

/// The lines of environment on standard output, and nothing else there; the rest is for people.
fn tell(args: &EnvUpArgs, kept: &Kept) -> anyhow::Result<ExitCode> {
    let looked = crate::runtime()?.block_on(Looked::at(kept));
    output::complain(looked.text().trim_end());
    let name = &kept.name;
    let serves = looked.serves();
    output::complain(&match serves {
        true => format!("it runs until `touchstone env down --name {name}`"),
        false => {
            format!("error: not all of it serves; end it with `touchstone env down --name {name}`")
        }
    });
    if args.json {
        output::print(&pretty(&looked.json()))?;
    } else {
        let all: String = kept.pairs.iter().map(lines).collect();
        output::print(&all)?;
    }
    Ok(match serves {
        true => ExitCode::Holds,
        false => ExitCode::Environment,
    })
}
