//! What is printed when a run is over: every verdict, what went wrong, and one summary.

use super::canvas::{Canvas, pad};
use super::explain;
use super::{Manner, Verbosity};
use crate::view::{self, CriterionView, Outcome};
use crate::{sent, text};
use touchstone_core::{ExitCode, RunRecord};

/// The most important comes last, where the eye is: table, times, notes, failures, summary.
pub(super) fn render(manner: &Manner, record: &RunRecord, exit_code: ExitCode) -> String {
    let canvas = &manner.canvas;
    let criteria = view::criteria(record);
    let sections = [
        table(canvas, &criteria),
        longest(canvas, record),
        if manner.verbosity >= Verbosity::Verbose {
            audit(canvas, record)
        } else {
            String::new()
        },
        notes(canvas, record),
        explain::all(manner, &criteria),
        facts(manner, record),
        result(canvas, record, exit_code),
    ];
    let sections = sections.iter().filter(|section| !section.is_empty());
    sections.map(|section| format!("\n{section}")).collect()
}

fn title(canvas: &Canvas, text: &str) -> String {
    format!("{}\n", canvas.bold(text))
}

fn table(canvas: &Canvas, criteria: &[CriterionView<'_>]) -> String {
    if criteria.is_empty() {
        return String::new();
    }
    let ids = criteria.iter().map(|view| text::one_line(view.id()));
    let id_width = ids
        .map(|id| id.chars().count())
        .max()
        .unwrap_or(0)
        .clamp(9, 24);
    let mut table = title(canvas, "Verdicts");
    for view in criteria {
        let id = pad(&text::one_line(view.id()), id_width);
        let verdict = canvas.outcome(view.outcome, &pad(view.outcome.word(), 7));
        let time = view.duration();
        let column = 2 + id_width + 2 + 7 + 2 + 9 + 2;
        let reason = canvas.cut(&view.reason(), column);
        let reason = match view.outcome {
            Outcome::Pass | Outcome::SkippedDeclared => canvas.dim(&reason),
            _ => reason,
        };
        let row = format!("  {id}  {verdict}  {time:>9}  {reason}");
        table += row.trim_end();
        table.push('\n');
    }
    table
}

fn longest(canvas: &Canvas, record: &RunRecord) -> String {
    let scenarios = view::longest(record, 3);
    if scenarios.is_empty() {
        return String::new();
    }
    let mut section = title(canvas, "Longest");
    for scenario in scenarios {
        let duration = text::duration(scenario.duration_ms);
        let label = format!("{}  {duration:>9}", pad(&view::key(scenario), 9));
        let steps = view::longest_steps(scenario, 3).join("; ");
        section += &canvas.entry(2, &label, 22, &steps);
    }
    section
}

/// What the subject sent, for who asked for more.
fn audit(canvas: &Canvas, record: &RunRecord) -> String {
    let Some(audit) = record
        .audit
        .as_ref()
        .filter(|audit| !audit.commands.is_empty())
    else {
        return String::new();
    };
    let lines = [
        vec![sent::totals(audit)],
        sent::findings(audit),
        sent::facts(audit),
    ]
    .concat();
    let entries = lines.iter().map(|line| canvas.entry(2, "-", 2, line));
    title(canvas, "Sent by the subject") + &entries.collect::<String>()
}

fn notes(canvas: &Canvas, record: &RunRecord) -> String {
    let notes = view::notes(record);
    if notes.is_empty() {
        return String::new();
    }
    let entries = notes.iter().map(|note| canvas.entry(2, "-", 2, note));
    title(canvas, "Worth knowing") + &entries.collect::<String>()
}

fn facts(manner: &Manner, record: &RunRecord) -> String {
    let canvas = &manner.canvas;
    let mut facts = vec![
        ("subject", view::subject(record)),
        ("provider", view::provider(record)),
        ("seed", record.seed.to_string()),
        ("wall time", view::wall(record)),
    ];
    if let Some(folder) = &manner.report_folder {
        facts.push(("report", text::one_line(&folder.display().to_string())));
    }
    let facts = facts.iter();
    facts
        .map(|(label, fact)| canvas.entry(2, &canvas.dim(label), 11, fact))
        .collect()
}

/// The last line, and all of it on one line where lines have no limit.
fn result(canvas: &Canvas, record: &RunRecord, exit_code: ExitCode) -> String {
    let (outcome, word) = match exit_code {
        ExitCode::Holds => (Outcome::Pass, "PASSED"),
        ExitCode::Unknown | ExitCode::CannotTell | ExitCode::Environment => {
            (Outcome::Unknown, "NOT PASSED")
        }
        _ => (Outcome::Fail, "NOT PASSED"),
    };
    let told = format!(
        "{} in {}; {}",
        view::tally(record),
        text::duration(record.wall_ms),
        view::exit(exit_code)
    );
    let label = canvas.outcome(outcome, word);
    canvas.entry(0, &label, word.len() + 2, &told)
}
