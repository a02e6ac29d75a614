//! An attempt that does not pass the gate, told so that nobody need open the code.

use super::canvas::Canvas;
use super::{Manner, Verbosity};
use crate::text;
use crate::view::{self, CriterionView, Outcome};
use console::measure_text_width;
use touchstone_core::{Finding, ScenarioRecord, Verdict};

/// Lines of evidence shown unless more is asked for; the record holds all of them.
const EVIDENCE_LIMIT: usize = 12;
const LABEL_WIDTH: usize = 11;

/// Every criterion that does not pass the gate, in the order of the plan.
pub(super) fn all(manner: &Manner, criteria: &[CriterionView<'_>]) -> String {
    let mut blocks = Vec::new();
    for view in criteria {
        let (attempts, left_out) = view.to_explain();
        blocks.extend(attempts.into_iter().map(|scenario| block(manner, scenario)));
        if left_out > 0 {
            let more = text::count(left_out, "more attempt");
            let id = text::one_line(view.id());
            blocks.push(format!("{id}: {more} like these in record.json\n"));
        }
    }
    blocks.join("\n")
}

fn block(manner: &Manner, scenario: &ScenarioRecord) -> String {
    let canvas = &manner.canvas;
    let outcome = Outcome::of(&scenario.verdict);
    let word = outcome.word().to_uppercase();
    let key = view::key(scenario);
    let label = format!("{} {}", canvas.outcome(outcome, &word), canvas.bold(&key));
    let label_width = word.len() + 1 + key.len() + 2;
    let statement = text::one_line(&scenario.statement);
    let mut block = canvas.entry(0, &label, label_width, &statement);
    match &scenario.verdict {
        Verdict::Fail(Finding { expected, seen, .. }) => {
            block += &entry(canvas, "expected", &text::one_line(expected));
            block += &entry(canvas, "seen", &text::one_line(seen));
        }
        _ => block += &entry(canvas, "reason", &view::reason(scenario)),
    }
    block += &list(canvas, "evidence", &evidence(manner, &scenario.verdict));
    let faults: Vec<String> = scenario.faults.iter().map(view::fault).collect();
    block += &list(canvas, "faults", &faults);
    let deadlines: Vec<String> = scenario.deadlines.iter().map(view::deadline).collect();
    block += &list(canvas, "deadlines", &deadlines);
    block += &list(
        canvas,
        "logs",
        &view::logs(scenario, manner.report_folder.as_deref()),
    );
    let command = text::one_line(&scenario.reproduce);
    block + &repeat(canvas, &command)
}

/// The command, broken only so that it can still be copied and run as it stands.
fn repeat(canvas: &Canvas, command: &str) -> String {
    let endless = Canvas {
        width: None,
        ..*canvas
    };
    let room = canvas.width.unwrap_or(usize::MAX);
    let lines = if measure_text_width(command) + 2 + LABEL_WIDTH <= room {
        vec![command.to_owned()]
    } else {
        before_options(command)
    };
    let lines: Vec<String> = lines.iter().map(|line| canvas.bold(line)).collect();
    list(&endless, "repeat", &lines)
}

/// One option a line, as a shell reads it; a command with quotes stays whole, since a `--` in it may
/// be part of a value.
fn before_options(command: &str) -> Vec<String> {
    if command.contains(['\'', '"', '\\']) {
        return vec![command.to_owned()];
    }
    let parts: Vec<&str> = command.split(" --").collect();
    let last = parts.len() - 1;
    let lines = parts.iter().enumerate().map(|(number, part)| {
        let begin = if number == 0 { "" } else { "    --" };
        let end = if number == last { "" } else { " \\" };
        format!("{begin}{part}{end}")
    });
    lines.collect()
}

fn entry(canvas: &Canvas, label: &str, text: &str) -> String {
    canvas.entry(2, &canvas.dim(label), LABEL_WIDTH, text)
}

fn list(canvas: &Canvas, label: &str, lines: &[String]) -> String {
    let lines = lines.iter().enumerate();
    let entries = lines.map(|(number, line)| match number {
        0 => entry(canvas, label, line),
        _ => entry(canvas, "", line),
    });
    entries.collect()
}

fn evidence(manner: &Manner, verdict: &Verdict) -> Vec<String> {
    let entries = view::evidence(verdict).iter();
    let lines: Vec<String> = entries.flat_map(|entry| text::lines(entry)).collect();
    let limit = match manner.verbosity {
        Verbosity::Normal => EVIDENCE_LIMIT,
        Verbosity::Verbose => usize::MAX,
    };
    let (shown, left_out) = text::limited(&lines, limit);
    let more = text::count(left_out, "more line");
    let more = (left_out > 0).then(|| format!("({more} in record.json, or with -v)"));
    shown.iter().cloned().chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_command_is_still_one_command_for_a_shell() {
        assert_eq!(
            before_options("touchstone check HLTH-2 --jobs 1 --seed 0x1"),
            [
                "touchstone check HLTH-2 \\",
                "    --jobs 1 \\",
                "    --seed 0x1"
            ]
        );
        let quoted = "touchstone check --env 'A=b --c'";
        assert_eq!(before_options(quoted), [quoted]);
    }
}
