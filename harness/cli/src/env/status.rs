//! `touchstone env status`.

use super::{Looked, lines, pretty};
use crate::args::EnvStatusArgs;
use crate::error::UsageError;
use crate::output;
use serde_json::Value;
use touchstone_core::ExitCode;
use touchstone_engine::kept::{self, Kept, Pair};
use touchstone_engine::scope::base_dirs;

/// Says what is kept and whether it serves; asked for one that is not there, it says so.
pub(super) fn status(args: &EnvStatusArgs) -> anyhow::Result<ExitCode> {
    let mut all = kept::list(&base_dirs());
    if let Some(name) = &args.name {
        all.retain(|kept| kept.name == *name);
    }
    for kept in &mut all {
        only(kept, args)?;
    }
    if args.export {
        return export(&all, args);
    }
    let looked: Vec<Looked<'_>> = crate::runtime()?.block_on(async {
        let mut looked = Vec::new();
        for kept in &all {
            looked.push(Looked::at(kept).await);
        }
        looked
    });
    if args.json {
        output::print(&pretty(&looked.iter().map(Looked::json).collect::<Value>()))?;
    } else {
        output::print(&looked.iter().map(Looked::text).collect::<String>())?;
    }
    if looked.is_empty() {
        output::complain(&nothing(args));
    }
    let is_missing = args.name.is_some() && looked.is_empty();
    Ok(match is_missing || !looked.iter().all(Looked::serves) {
        true => ExitCode::Environment,
        false => ExitCode::Holds,
    })
}

/// Leaves the pair that was asked for.
fn only(kept: &mut Kept, args: &EnvStatusArgs) -> anyhow::Result<()> {
    let Some(of) = &args.of else {
        return Ok(());
    };
    let known = names(&kept.pairs);
    kept.pairs.retain(|pair| pair.of.eq_ignore_ascii_case(of));
    if kept.pairs.is_empty() {
        anyhow::bail!(UsageError(format!(
            "`{}` has no pair of `{of}`; expected one of {known}",
            kept.name
        )));
    }
    Ok(())
}

fn export(all: &[Kept], args: &EnvStatusArgs) -> anyhow::Result<ExitCode> {
    let Some(kept) = all.first() else {
        output::complain(&nothing(args));
        return Ok(ExitCode::Environment);
    };
    let [pair] = kept.pairs.as_slice() else {
        anyhow::bail!(UsageError(format!(
            "`{}` has several pairs; name one with --of: {}",
            kept.name,
            names(&kept.pairs)
        )));
    };
    output::print(&lines(pair))?;
    Ok(ExitCode::Holds)
}

fn names(pairs: &[Pair]) -> String {
    let names: Vec<&str> = pairs.iter().map(|pair| pair.of.as_str()).collect();
    names.join(", ")
}

fn nothing(args: &EnvStatusArgs) -> String {
    match &args.name {
        Some(name) => format!("nothing is kept under the name `{name}`"),
        None => "nothing is kept; `touchstone env up` starts a pair of stores".to_owned(),
    }
}
