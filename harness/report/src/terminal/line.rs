//! One event as one line. The first word says what it is: `grep ^FAIL` finds every failure.

use super::canvas::{Canvas, pad};
use super::{Manner, Verbosity};
use crate::text;
use crate::view::{self, Outcome};
use touchstone_core::ScenarioRecord;
use touchstone_core::event::{RunEvent, RunEventKind, ScenarioKey};

const WORD_WIDTH: usize = 8;
const TIME_WIDTH: usize = 10;
const KEY_WIDTH: usize = 11;

/// The line of an event, or nothing where it is not worth one. The end of the run is more than a
/// line and not told here.
pub(super) fn of_event(manner: &Manner, event: &RunEvent) -> Option<String> {
    let canvas = &manner.canvas;
    let verbose = manner.verbosity >= Verbosity::Verbose;
    let progress = |word, key: &ScenarioKey, told: &str| {
        let time = format!("+{}", text::seconds(event.elapsed_us / 1_000));
        let line = columns(
            &canvas.dim(word),
            &time,
            &text::one_line(&key.to_string()),
            &text::one_line(told),
        );
        canvas.cut(&line, 0)
    };
    match &event.kind {
        RunEventKind::RunStarted { .. } => Some(header(canvas, &event.kind)),
        RunEventKind::ScenarioFinished { record } => Some(finished(canvas, record)),
        RunEventKind::Interrupted { signal } => {
            let told = format!("{signal}: tearing down what runs; nothing new starts");
            let word = canvas.outcome(Outcome::Unknown, "STOPPING");
            Some(format!("{word}  {told}"))
        }
        RunEventKind::Step { key, text } if verbose => Some(progress("STEP", key, text)),
        RunEventKind::FaultInjected { key, fault } if verbose => {
            let told = format!(
                "{} {} {}",
                fault.name,
                fault.target,
                text::pairs(&fault.parameters)
            );
            Some(progress("FAULT", key, &told))
        }
        RunEventKind::FaultHealed { key, fault } if verbose => {
            Some(progress("HEALED", key, &view::fault(fault)))
        }
        RunEventKind::ScenarioStarted { .. }
        | RunEventKind::Step { .. }
        | RunEventKind::FaultInjected { .. }
        | RunEventKind::FaultHealed { .. }
        | RunEventKind::RunFinished { .. } => None,
    }
}

fn columns(word: &str, time: &str, key: &str, told: &str) -> String {
    let word = pad(word, WORD_WIDTH);
    let key = pad(key, KEY_WIDTH);
    format!("{word}{time:>TIME_WIDTH$}  {key} {told}")
}

/// Verdict, time, id, statement; and at once why, if it does not pass the gate.
fn finished(canvas: &Canvas, record: &ScenarioRecord) -> String {
    let outcome = Outcome::of(&record.verdict);
    let word = canvas.outcome(outcome, &outcome.word().to_uppercase());
    let time = text::seconds(record.duration_ms);
    let statement = text::one_line(&record.statement);
    let key = view::key(record);
    let line = columns(&word, &time, &key, &statement);
    let reason = view::reason(record);
    match (record.verdict.is_acceptable(), canvas.width) {
        (true, _) => canvas.cut(&line, 0),
        (false, None) => format!("{line} -- {reason}"),
        (false, Some(_)) => {
            let indent = WORD_WIDTH + TIME_WIDTH + 2 + KEY_WIDTH + 1;
            let reason = canvas.outcome(outcome, &canvas.cut(&reason, indent));
            format!("{}\n{:indent$}{reason}", canvas.cut(&line, 0), "")
        }
    }
}

fn header(canvas: &Canvas, started: &RunEventKind) -> String {
    let RunEventKind::RunStarted {
        run_id,
        seed,
        profile,
        subject,
        provider,
        planned,
        jobs,
    } = started
    else {
        return String::new();
    };
    let planned = text::count(*planned, "scenario");
    let first = format!(
        "{} checks {}: {planned}, profile {profile}, {jobs} side by side",
        canvas.bold("touchstone"),
        canvas.bold(&text::one_line(subject)),
    );
    let run_id = text::one_line(run_id);
    let entries = [
        ("run", run_id),
        ("provider", text::one_line(provider)),
        ("seed", seed.to_string()),
    ];
    let entries = entries.map(|(label, told)| canvas.entry(2, &canvas.dim(label), 10, &told));
    format!(
        "{}\n{}",
        canvas.wrap(&first, 0).join("\n"),
        entries.concat()
    )
}
