//! The mutants as a table.

use super::select::Selection;
use super::{Fate, MutantResult};
use crate::output::Paint;
use console::{Style, Term, truncate_str};
use std::path::Path;
use touchstone_core::{ScenarioRecord, Verdict};

/// Which mutants there are, in the order of their running.
pub(super) fn list(selection: &Selection) -> String {
    let known = selection.mutants.iter().map(|mutant| {
        let criterion = mutant.scenario.criterion;
        (mutant.name.as_str(), criterion.id, criterion.statement)
    });
    let unknown = selection
        .without_scenario
        .iter()
        .map(|(name, id)| (name.as_str(), id.as_str(), "no scenario"));
    let rows: Vec<_> = known.chain(unknown).collect();
    let width = width(rows.iter().map(|(name, ..)| *name));
    let row = |(name, id, told): &(&str, &str, &str)| format!("{name:<width$}  {id:<9}  {told}\n");
    let rows: String = rows.iter().map(row).collect();
    rows + &unproven(selection)
}

/// What became of each, then what a reader must not overlook, then the count.
pub(super) fn results(
    selection: &Selection,
    results: &[MutantResult<'_>],
    report_dir: &Path,
) -> String {
    let paint = Paint::for_stdout();
    let width = width(results.iter().map(|(mutant, ..)| mutant.name.as_str()));
    let mut text = format!(
        "{:<width$}  {:<9}  {:<7}  seen\n",
        "mutant", "criterion", "caught?"
    );
    for (mutant, record, fate) in results {
        let style = match fate {
            Fate::Caught => Style::new().green(),
            Fate::Escaped => Style::new().red().bold(),
            Fate::Unknown | Fate::NotRun => Style::new().yellow().bold(),
        };
        let word = paint.paint(style, &format!("{:<7}", fate.word()));
        let id = mutant.scenario.criterion.id;
        let seen = cut(&seen(record), width + 2 + 9 + 2 + 7 + 2);
        text += &format!("{:<width$}  {id:<9}  {word}  {seen}\n", mutant.name);
    }
    for (mutant, record, fate) in results {
        if *fate != Fate::Caught {
            text += &format!("\n{} {}: {}\n", fate.word(), mutant.name, whole(record));
            text += &format!("  repeat: {}\n", record.reproduce);
        }
    }
    text += &warnings(selection);
    let caught = results
        .iter()
        .filter(|(.., fate)| *fate == Fate::Caught)
        .count();
    let report = report_dir.display();
    text + &format!(
        "\n{caught} of {} mutants caught; report in {report}\n",
        results.len()
    )
}

fn warnings(selection: &Selection) -> String {
    let mut text = String::new();
    if !selection.without_scenario.is_empty() {
        let each = selection.without_scenario.iter();
        let each: Vec<String> = each.map(|(name, id)| format!("{name} ({id})")).collect();
        text += &format!(
            "\nwarning: not run, this build has no scenario for them: {}\n",
            each.join(", ")
        );
    }
    text + &unproven(selection)
}

fn unproven(selection: &Selection) -> String {
    match selection.unproven.is_empty() {
        true => String::new(),
        false => format!(
            "\nwarning: no mutant shows that these criteria can fail: {}\n",
            selection.unproven.join(", ")
        ),
    }
}

fn seen(record: &ScenarioRecord) -> String {
    one_line(&match &record.verdict {
        Verdict::Pass => "it passed".to_owned(),
        Verdict::Fail(finding) => finding.seen.clone(),
        Verdict::Unknown { reason, .. } | Verdict::Skipped { reason, .. } => reason.clone(),
    })
}

fn whole(record: &ScenarioRecord) -> String {
    one_line(&record.verdict.to_string())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn width<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0)
        .max(6)
}

/// Cut at the edge of a terminal; whole where there is none.
fn cut(text: &str, column: usize) -> String {
    match Term::stdout().size_checked() {
        Some((_, columns)) if Term::stdout().is_term() => {
            truncate_str(text, usize::from(columns).saturating_sub(column), "...").into_owned()
        }
        _ => text.to_owned(),
    }
}
