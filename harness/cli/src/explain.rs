//! `touchstone explain`: a criterion in whole, from the documents and the manifest.

use crate::args::ExplainArgs;
use crate::error::UsageError;
use crate::output;
use touchstone_core::{Criterion, ExitCode, Profile};
use touchstone_engine::run::shell_word;
use touchstone_engine::subject::Manifest;
use touchstone_scenarios::catalogue::{self, Need, Row};

/// Where a line ends, in columns, where no terminal says.
const WIDTH: usize = 100;
const INDENT: &str = "    ";

/// Explains the criteria that the filters select.
pub(crate) fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let all = || touchstone_scenarios::all().map(|scenario| scenario.criterion);
    let unknown = args
        .filters
        .iter()
        .find(|filter| !all().any(|criterion| criterion.matches(filter)));
    if let Some(filter) = unknown {
        let ids: Vec<&str> = all().map(|criterion| criterion.id).collect();
        anyhow::bail!(UsageError(format!(
            "`{filter}` is no criterion and no area; expected one of {}",
            ids.join(", ")
        )));
    }
    // A criterion can be explained without a manifest; only what is special to one is left out then.
    let manifest = Manifest::load(&args.subject.path).map_err(|error| error.to_string());
    let rows = catalogue::rows();
    let asked = all().filter(|criterion| args.filters.iter().any(|f| criterion.matches(f)));
    let texts = asked.map(|criterion| {
        let row = rows.iter().find(|row| row.id == criterion.id);
        text(criterion, row, &manifest, args)
    });
    output::print(&texts.collect::<Vec<_>>().join("\n"))?;
    Ok(ExitCode::Holds)
}

fn text(
    criterion: Criterion,
    row: Option<&Row>,
    manifest: &Result<Manifest, String>,
    args: &ExplainArgs,
) -> String {
    let area = row.map_or(criterion.area(), |row| &row.area);
    let mut text = format!(
        "{}  ({area}; profile {})\n",
        criterion.id, criterion.profile
    );
    text += &paragraph("must be seen", criterion.statement);
    text += &paragraph("how it is checked", row.map_or("", |row| &row.how));
    let needs = catalogue::needs(criterion.id);
    text += &list("needs of the manifest", needs.iter().map(need));
    text += &list("defects that it must catch", defects(criterion, manifest));
    if let Ok(manifest) = manifest {
        text += &list("skipped here", skipped(&needs, manifest));
    }
    let profile = match criterion.profile {
        Profile::Merge => String::new(),
        other => format!(" --profile {other}"),
    };
    let subject = shell_word(&args.subject.path.display().to_string());
    let command = format!(
        "touchstone check {}{profile} --subject {subject}",
        criterion.id
    );
    text + &format!("  run it alone\n{INDENT}{command}\n")
}

fn need(need: &Need) -> String {
    format!(
        "{}: {}",
        need.name,
        need.told.replace("see below", "see docs/MANIFEST.md")
    )
}

/// Those that the manifest knows, with how one of them is switched on.
fn defects(criterion: Criterion, manifest: &Result<Manifest, String>) -> Vec<String> {
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(why) => return vec![format!("the manifest would name them: {why}")],
    };
    let Some(mutants) = &manifest.mutants else {
        return vec!["the manifest names none (`[mutants]`)".to_owned()];
    };
    let caught = mutants.caught_by.iter();
    let caught = caught.filter(|(_, by)| by.eq_ignore_ascii_case(criterion.id));
    caught
        .map(|(name, _)| format!("{name} (--env {}={name})", mutants.env))
        .collect()
}

/// What the manifest declares to be absent, with its reasons.
fn skipped(needs: &[Need], manifest: &Manifest) -> Vec<String> {
    let is_needed = |name: &str| {
        let name = format!("operations.{name}");
        needs.iter().any(|need| need.name == name)
    };
    let absent = manifest.absent.iter();
    absent
        .filter(|(name, _)| is_needed(name.key()))
        .map(|(name, reason)| format!("`{}`: {reason}", name.key()))
        .collect()
}

fn paragraph(title: &str, text: &str) -> String {
    format!("  {title}\n{}", wrapped(text, INDENT, INDENT))
}

/// Nothing at all for an empty list.
fn list(title: &str, entries: impl IntoIterator<Item = String>) -> String {
    let entries = entries.into_iter();
    let lines: String = entries
        .map(|entry| wrapped(&entry, "    - ", "      "))
        .collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!("  {title}\n{lines}"),
    }
}

/// Broken between words.
fn wrapped(text: &str, first: &str, further: &str) -> String {
    let (mut lines, mut line, mut words) = (String::new(), first.to_owned(), 0);
    for word in text.split_whitespace() {
        if words > 0 && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines += &format!("{line}\n");
            (line, words) = (further.to_owned(), 0);
        }
        if words > 0 {
            line.push(' ');
        }
        line.push_str(word);
        words += 1;
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn a_long_text_is_broken_between_words_and_a_long_word_is_not() {
        let word = "x".repeat(98);
        assert_eq!(
            wrapped(&format!("a {word} b"), "- ", "  "),
            format!("- a\n  {word}\n  b\n")
        );
    }
}
