//! What is made from the command line's own definition and from the record's: scripts, pages, a schema.

use crate::args::{Args, CompletionsArgs, ManArgs};
use crate::error::UsageError;
use crate::output;
use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory};
use std::collections::BTreeSet;
use touchstone_core::ExitCode;

/// `touchstone schema`.
pub(crate) fn schema() -> anyhow::Result<ExitCode> {
    output::print(&touchstone_report::schema::render()?)?;
    Ok(ExitCode::Holds)
}

/// `touchstone completions`.
pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = with_criteria(Args::command());
    clap_complete::generate(args.shell, &mut command, "touchstone", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::Holds)
}

/// The commands that take criteria, with all that there are as the values that they take.
fn with_criteria(command: Command) -> Command {
    let criteria = || touchstone_scenarios::all().map(|scenario| scenario.criterion);
    let areas: BTreeSet<&str> = touchstone_scenarios::all()
        .map(|scenario| scenario.criterion.area())
        .collect();
    ["check", "explain", "mutants"]
        .into_iter()
        .fold(command, |command, name| {
            let ids = criteria().map(|criterion| criterion.id);
            let values = PossibleValuesParser::new(areas.iter().copied().chain(ids));
            command.mut_subcommand(name, |sub| {
                sub.mut_arg("filters", |arg| arg.value_parser(values))
            })
        })
}

/// `touchstone man`, of a command with its own page.
pub(crate) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let mut command = Args::command();
    // Gives each command its whole name.
    command.build();
    for word in &args.command {
        let Some(found) = command.find_subcommand(word) else {
            anyhow::bail!(UsageError(format!(
                "there is no command `{word}`; `touchstone --help` lists them"
            )));
        };
        command = found.clone();
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    output::print(&String::from_utf8_lossy(&page))?;
    Ok(ExitCode::Holds)
}
