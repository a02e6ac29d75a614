//! Live progress: a line per running scenario, a bar for the whole run, verdicts above them.

use super::canvas::{Canvas, pad};
use super::{Manner, ending, line};
use crate::text;
use crate::view::Outcome;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;
use touchstone_core::Verdict;
use touchstone_core::event::{RunEvent, RunEventKind, ScenarioKey};
use touchstone_core::fault::FaultRecord;
use touchstone_core::record::Tally;

/// Often enough for a clock that shows tenths to look alive, seldom enough to cost nothing beside
/// scenarios that are measured.
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

pub(super) struct Live {
    out: Box<dyn Write + Send>,
    bars: MultiProgress,
    total: ProgressBar,
    running: HashMap<ScenarioKey, Running>,
    tally: Tally,
}

/// A scenario's line: what it does, and what is being done to it.
struct Running {
    bar: ProgressBar,
    step: String,
    faults: Vec<String>,
}

impl Running {
    fn show(&self, canvas: &Canvas) {
        let faults = self.faults.iter();
        let faults: String = faults.map(|fault| format!(" [{fault}]")).collect();
        let faults = canvas.outcome(Outcome::Unknown, &faults);
        self.bar.set_message(format!("{}{faults}", self.step));
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("tally", &self.tally)
            .finish_non_exhaustive()
    }
}

impl Live {
    /// `target` draws the progress and `out` takes the lines above it: the same terminal.
    pub(super) fn new(target: ProgressDrawTarget, out: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            bars: MultiProgress::with_draw_target(target),
            total: ProgressBar::hidden(),
            running: HashMap::new(),
            tally: Tally::default(),
        }
    }

    fn print_above(&mut self, line: &str) -> io::Result<()> {
        let out = &mut self.out;
        self.bars
            .suspend(|| writeln!(out, "{line}").and_then(|()| out.flush()))
    }

    fn begin(&mut self, canvas: &Canvas, planned: usize) {
        let style = total_style(canvas);
        let bar = ProgressBar::new(planned as u64).with_style(style);
        self.total = self.bars.add(bar);
        self.total.enable_steady_tick(REDRAW_INTERVAL);
    }

    fn start(&mut self, canvas: &Canvas, key: &ScenarioKey) {
        let bar = ProgressBar::new_spinner()
            .with_style(running_style(canvas))
            .with_prefix(canvas.bold(&pad(&text::one_line(&key.to_string()), 10)));
        let bar = self.bars.insert_before(&self.total, bar);
        bar.enable_steady_tick(REDRAW_INTERVAL);
        let running = Running {
            bar,
            step: String::new(),
            faults: Vec::new(),
        };
        self.running.insert(key.clone(), running);
    }

    fn change(&mut self, canvas: &Canvas, key: &ScenarioKey, change: impl FnOnce(&mut Running)) {
        if let Some(running) = self.running.get_mut(key) {
            change(running);
            running.show(canvas);
        }
    }

    fn finish(&mut self, canvas: &Canvas, key: &ScenarioKey, verdict: &Verdict) {
        if let Some(running) = self.running.remove(key) {
            running.bar.finish_and_clear();
            self.bars.remove(&running.bar);
        }
        self.tally.add(verdict);
        self.total.inc(1);
        self.total.set_message(told(canvas, self.tally));
    }

    fn clear(&mut self) -> io::Result<()> {
        for (_, running) in self.running.drain() {
            running.bar.finish_and_clear();
        }
        self.total.finish_and_clear();
        self.bars.clear()
    }

    pub(super) fn on_event(&mut self, manner: &Manner, event: &RunEvent) -> io::Result<()> {
        let canvas = &manner.canvas;
        match &event.kind {
            RunEventKind::RunStarted { planned, .. } => self.begin(canvas, *planned),
            RunEventKind::ScenarioStarted { key } => self.start(canvas, key),
            RunEventKind::Step { key, text } => {
                self.change(canvas, key, |running| running.step = text::one_line(text));
            }
            RunEventKind::FaultInjected { key, fault } => {
                self.change(canvas, key, |running| running.faults.push(short(fault)));
            }
            RunEventKind::FaultHealed { key, fault } => self.change(canvas, key, |running| {
                let healed = short(fault);
                running.faults.retain(|in_force| *in_force != healed);
            }),
            RunEventKind::ScenarioFinished { record } => {
                let key = ScenarioKey {
                    criterion: record.criterion.clone(),
                    attempt: record.attempt,
                };
                self.finish(canvas, &key, &record.verdict);
            }
            RunEventKind::Interrupted { .. } => {}
            RunEventKind::RunFinished { record, exit_code } => {
                self.clear()?;
                let ending = ending::render(manner, record, *exit_code);
                self.out.write_all(ending.as_bytes())?;
                return self.out.flush();
            }
        }
        match line::of_event(manner, event) {
            Some(line) => self.print_above(&line),
            None => Ok(()),
        }
    }
}

impl Drop for Live {
    /// A run that breaks off leaves a clean terminal too.
    fn drop(&mut self) {
        let _ = self.clear();
    }
}

fn short(fault: &FaultRecord) -> String {
    text::one_line(&format!("{} {}", fault.name, fault.target))
}

/// The verdicts so far, without those that nobody got.
fn told(canvas: &Canvas, tally: Tally) -> String {
    let counts = [
        (Outcome::Pass, tally.pass, "passed"),
        (Outcome::Fail, tally.fail, "failed"),
        (Outcome::Unknown, tally.unknown, "unknown"),
        (Outcome::SkippedDeclared, tally.skipped, "skipped"),
    ];
    let counts = counts.into_iter().filter(|(_, count, _)| *count > 0);
    let counts =
        counts.map(|(outcome, count, word)| canvas.outcome(outcome, &format!("{count} {word}")));
    counts.collect::<Vec<_>>().join(", ")
}

fn elapsed(state: &ProgressState, out: &mut dyn fmt::Write) {
    let _ = write!(out, "{:.1} s", state.elapsed().as_secs_f64());
}

fn running_style(canvas: &Canvas) -> ProgressStyle {
    let ticks = if canvas.unicode {
        "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "
    } else {
        "|/-\\ "
    };
    ProgressStyle::with_template("  {spinner} {prefix} {clock:>7}  {wide_msg}")
        .expect("the template is valid")
        .with_key("clock", elapsed)
        .tick_chars(ticks)
}

fn total_style(canvas: &Canvas) -> ProgressStyle {
    let bar = if canvas.unicode { "━╸─" } else { "=> " };
    let edges = if canvas.unicode { ["", ""] } else { ["[", "]"] };
    let [left, right] = edges;
    let template = format!("  {left}{{bar:20}}{right} {{pos}}/{{len}} {{clock:>7}}  {{wide_msg}}");
    ProgressStyle::with_template(&template)
        .expect("the template is valid")
        .with_key("clock", elapsed)
        .progress_chars(bar)
}
