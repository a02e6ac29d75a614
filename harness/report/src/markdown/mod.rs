//! `summary.md`: one page for a pull request or GitHub's step summary.

mod escape;
mod sent;

use crate::text;
use crate::view::{self, CriterionView, Outcome};
use escape::{code_block, html, inline};
use std::fmt::Write;
use touchstone_core::{ExitCode, Finding, RunRecord, ScenarioRecord, Verdict};

/// GitHub drops a step summary above 1 MiB, which holds the summaries of other steps too.
const DETAILS_LIMIT_BYTES: usize = 400 * 1024;
/// Lines of evidence shown per attempt; the record holds all of them.
const EVIDENCE_LIMIT: usize = 40;

/// The record as Markdown.
pub fn render(record: &RunRecord, exit_code: ExitCode) -> String {
    let criteria = view::criteria(record);
    let sign = if exit_code == ExitCode::Holds {
        "✅"
    } else {
        "❌"
    };
    let mut page = format!(
        "## {sign} touchstone: {}\n\n**{}** in {}. Exit code {}.\n\n",
        exit_code.meaning(),
        view::tally(record),
        text::duration(record.wall_ms),
        exit_code.number(),
    );
    page += &table(&criteria);
    page += &notes(record);
    page += &all_details(&criteria);
    page += &sent::section(record);
    page += &about(record);
    page
}

fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "✅",
        Outcome::Fail | Outcome::SkippedUndeclared => "❌",
        Outcome::Unknown => "❔",
        Outcome::SkippedDeclared => "⏭️",
        Outcome::Flaky => "🎲",
    }
}

fn table(criteria: &[CriterionView<'_>]) -> String {
    let mut table = "| | Criterion | Verdict | Time | What was seen |\n".to_owned();
    table += "|---|---|---|---:|---|\n";
    for view in criteria {
        table += &format!(
            "| {} | {} | {} | {} | {} |\n",
            sign(view.outcome),
            inline(view.id()),
            view.outcome.word(),
            view.duration(),
            inline(&view.reason()),
        );
    }
    table
}

fn notes(record: &RunRecord) -> String {
    let notes = view::notes(record);
    if notes.is_empty() {
        return String::new();
    }
    let items: String = notes.iter().map(|n| format!("- {}\n", inline(n))).collect();
    format!("\n### Worth knowing\n\n{items}")
}

fn all_details(criteria: &[CriterionView<'_>]) -> String {
    let mut all = String::new();
    for view in criteria {
        let (attempts, left_out) = view.to_explain();
        for scenario in attempts {
            let block = details(scenario);
            if all.len() + block.len() > DETAILS_LIMIT_BYTES {
                return all + "\n*More failures than fit here: the rest is in record.json.*\n";
            }
            all += &block;
        }
        if left_out > 0 {
            let more = text::count(left_out, "more attempt");
            all += &format!("\n*{}: {more} in record.json.*\n", inline(view.id()));
        }
    }
    all
}

/// A collapsible block for one attempt that does not pass the gate.
fn details(scenario: &ScenarioRecord) -> String {
    let mut block = format!(
        "\n<details>\n<summary>{} <b>{}</b> {}</summary>\n\n",
        sign(Outcome::of(&scenario.verdict)),
        html(&view::key(scenario)),
        html(&scenario.statement),
    );
    match &scenario.verdict {
        Verdict::Fail(Finding { expected, seen, .. }) => {
            block += &format!("- **Expected:** {}\n", inline(expected));
            block += &format!("- **Seen:** {}\n", inline(seen));
        }
        _ => block += &format!("- **Reason:** {}\n", inline(&view::reason(scenario))),
    }
    for fault in &scenario.faults {
        block += &format!("- **Fault:** {}\n", inline(&view::fault(fault)));
    }
    for deadline in &scenario.deadlines {
        block += &format!("- **Deadline:** {}\n", inline(&view::deadline(deadline)));
    }
    for log in view::logs(scenario, None) {
        block += &format!("- **Log:** {}\n", inline(&log));
    }
    block += &evidence(scenario);
    let command = text::one_line(&scenario.reproduce);
    block + "\nRepeat it with:\n\n" + &code_block("sh", &command) + "\n</details>\n"
}

fn evidence(scenario: &ScenarioRecord) -> String {
    let lines = view::evidence(&scenario.verdict).iter();
    let lines: Vec<String> = lines.flat_map(|entry| text::lines(entry)).collect();
    if lines.is_empty() {
        return String::new();
    }
    let (shown, left_out) = text::limited(&lines, EVIDENCE_LIMIT);
    let mut shown = shown.join("\n");
    if left_out > 0 {
        let more = text::count(left_out, "more line");
        let _ = write!(shown, "\n({more} in record.json)");
    }
    format!("\nEvidence:\n\n{}", code_block("text", &shown))
}

/// Everything that a second run would need to be the same, and where the time went.
fn about(record: &RunRecord) -> String {
    let mut rows = vec![
        ("Subject", view::subject(record)),
        ("Provider", view::provider(record)),
        ("Profile", record.profile.to_string()),
        ("Seed", record.seed.to_string()),
        ("Run", record.run_id.clone()),
        ("Started", record.started_at.to_string()),
        ("Wall time", view::wall(record)),
        ("Side by side", text::count(record.jobs, "scenario")),
        ("Machine", view::machine(record)),
    ];
    let versions = record.versions.iter();
    rows.extend(versions.map(|(name, version)| (name.as_str(), version.clone())));
    let mut about =
        "\n<details>\n<summary>About this run</summary>\n\n| | |\n|---|---|\n".to_owned();
    for (name, value) in rows {
        about += &format!("| {} | {} |\n", inline(name), inline(&value));
    }
    let longest = view::longest(record, 3);
    if !longest.is_empty() {
        about += "\nLongest scenarios:\n\n";
    }
    for scenario in longest {
        let steps = view::longest_steps(scenario, 3).join("; ");
        about += &format!(
            "- {} {}: {}\n",
            inline(&view::key(scenario)),
            text::duration(scenario.duration_ms),
            inline(&steps)
        );
    }
    about + "\n</details>\n"
}
