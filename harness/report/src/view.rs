//! A record as reports look at it: grouped by criterion, one outcome and one reason each.

use crate::text;
use std::path::{Path, PathBuf};
use touchstone_core::event::ScenarioKey;
use touchstone_core::fault::FaultRecord;
use touchstone_core::record::DeadlineRecord;
use touchstone_core::{ExitCode, Finding, RunRecord, ScenarioRecord, Verdict};

/// Attempts explained in full per criterion: repeats mostly fail alike, and the record has all.
const ATTEMPTS_EXPLAINED: usize = 3;

/// What all attempts of one criterion say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Pass,
    Fail,
    Unknown,
    SkippedDeclared,
    SkippedUndeclared,
    /// Attempts of one run disagree. Never hidden behind the attempt that passed.
    Flaky,
}

impl Outcome {
    pub(crate) fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Pass => Outcome::Pass,
            Verdict::Fail(_) => Outcome::Fail,
            Verdict::Unknown { .. } => Outcome::Unknown,
            Verdict::Skipped { declared: true, .. } => Outcome::SkippedDeclared,
            Verdict::Skipped {
                declared: false, ..
            } => Outcome::SkippedUndeclared,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::Unknown => "unknown",
            Outcome::SkippedDeclared | Outcome::SkippedUndeclared => "skipped",
            Outcome::Flaky => "flaky",
        }
    }
}

/// One criterion with all its attempts, in their order.
#[derive(Debug)]
pub(crate) struct CriterionView<'a> {
    pub(crate) outcome: Outcome,
    pub(crate) attempts: Vec<&'a ScenarioRecord>,
}

/// The criteria of a record in the order of the plan.
pub(crate) fn criteria(record: &RunRecord) -> Vec<CriterionView<'_>> {
    let mut views: Vec<CriterionView<'_>> = Vec::new();
    for scenario in &record.scenarios {
        let outcome = Outcome::of(&scenario.verdict);
        match views
            .iter_mut()
            .find(|view| view.id() == scenario.criterion)
        {
            None => views.push(CriterionView {
                outcome,
                attempts: vec![scenario],
            }),
            Some(view) => {
                view.attempts.push(scenario);
                if view.outcome != outcome {
                    view.outcome = Outcome::Flaky;
                }
            }
        }
    }
    views
}

impl CriterionView<'_> {
    pub(crate) fn id(&self) -> &str {
        &self.attempts[0].criterion
    }

    /// The longest attempt's duration.
    fn duration_ms(&self) -> u64 {
        let durations = self.attempts.iter().map(|attempt| attempt.duration_ms);
        durations.max().unwrap_or(0)
    }

    /// The duration for people; a dash for what was not run.
    pub(crate) fn duration(&self) -> String {
        match self.outcome {
            Outcome::SkippedDeclared | Outcome::SkippedUndeclared => "-".to_owned(),
            _ => text::duration(self.duration_ms()),
        }
    }

    /// Why this outcome, on one line: for several attempts their number and the first that is not
    /// acceptable.
    pub(crate) fn reason(&self) -> String {
        let told = self.attempts.iter().find(|a| !a.verdict.is_acceptable());
        let told = told.unwrap_or(&self.attempts[0]);
        let passed = self.passed();
        let all = self.attempts.len();
        match self.outcome {
            _ if all == 1 => reason(told),
            Outcome::Pass => format!("{all} of {all} attempts; {}", reason(told)),
            _ => format!(
                "{passed} of {all} attempts passed; attempt {}: {}",
                told.attempt,
                reason(told)
            ),
        }
    }

    /// The attempts that do not pass the gate and are to be explained, and how many more there are.
    pub(crate) fn to_explain(&self) -> (Vec<&ScenarioRecord>, usize) {
        let attempts = self.attempts.iter().copied();
        let mut bad: Vec<_> = attempts.filter(|a| !a.verdict.is_acceptable()).collect();
        let left_out = bad.len().saturating_sub(ATTEMPTS_EXPLAINED);
        bad.truncate(ATTEMPTS_EXPLAINED);
        (bad, left_out)
    }

    fn passed(&self) -> usize {
        let passes = self.attempts.iter().filter(|a| a.verdict == Verdict::Pass);
        passes.count()
    }
}

/// An attempt's name: the criterion's id, and `#2` for the second attempt.
pub(crate) fn key(scenario: &ScenarioRecord) -> String {
    let key = ScenarioKey {
        criterion: scenario.criterion.clone(),
        attempt: scenario.attempt,
    };
    text::one_line(&key.to_string())
}

/// Why an attempt got its verdict, on one line. A pass tells what was seen, if anything was noted.
pub(crate) fn reason(scenario: &ScenarioRecord) -> String {
    let reason = match &scenario.verdict {
        Verdict::Pass => match (scenario.observations.first(), scenario.deadlines.first()) {
            (Some(observation), _) => observation.clone(),
            (None, Some(measured)) => deadline(measured),
            (None, None) => String::new(),
        },
        Verdict::Fail(Finding { expected, seen, .. }) => {
            format!("seen {seen}; expected {expected}")
        }
        Verdict::Unknown { reason, .. } if scenario.environment_failed => {
            format!("environment: {reason}")
        }
        Verdict::Unknown { reason, .. } => reason.clone(),
        Verdict::Skipped {
            reason,
            declared: true,
        } => format!("declared: {reason}"),
        Verdict::Skipped { reason, .. } => format!("not declared by the manifest: {reason}"),
    };
    text::one_line(&reason)
}

/// A deadline with what was seen of it.
pub(crate) fn deadline(deadline: &DeadlineRecord) -> String {
    let allowed = text::duration(deadline.allowed_ms);
    let seen = match deadline.seen_ms {
        Some(ms) => format!("{} of {allowed} allowed", text::duration(ms)),
        None => format!("not seen in {allowed}"),
    };
    let name = text::one_line(&deadline.name);
    match deadline.loosened_from_ms {
        None => format!("{name}: {seen}"),
        Some(ms) => format!(
            "{name}: {seen}, loosened by the manifest from {}",
            text::duration(ms)
        ),
    }
}

/// A fault with its time in force and what it bit.
pub(crate) fn fault(fault: &FaultRecord) -> String {
    let parameters = match fault.parameters.is_empty() {
        true => String::new(),
        false => format!(" ({})", text::pairs(&fault.parameters)),
    };
    let injected = text::duration(fault.injected_at_us / 1_000);
    let until = match fault.healed_at_us {
        Some(us) => text::duration(us / 1_000),
        None => "the end".to_owned(),
    };
    let bite = match &fault.bite {
        Some(bite) => format!("bit: {bite}"),
        None => "NOT SEEN TO BITE".to_owned(),
    };
    let what = format!("{} {}{parameters}", fault.name, fault.target);
    text::one_line(&format!("{what}, from {injected} to {until}; {bite}"))
}

/// What a reader should know beside the verdicts: warnings and deadlines that were loosened.
pub(crate) fn notes(record: &RunRecord) -> Vec<String> {
    let warnings = record
        .warnings
        .iter()
        .map(|warning| text::one_line(warning));
    // A manifest loosens a deadline for every attempt alike.
    let first_attempts = record.scenarios.iter().filter(|s| s.attempt == 1);
    let loosened = first_attempts.flat_map(|scenario| {
        let deadlines = scenario.deadlines.iter();
        deadlines
            .filter(|deadline| deadline.loosened_from_ms.is_some())
            .map(|loose| format!("{}: {}", key(scenario), deadline(loose)))
    });
    let sent = crate::sent::notes(record);
    warnings.chain(loosened).chain(sent).collect()
}

/// `4 passed, 1 failed, 2 unknown, 2 skipped, 1 flaky`. Attempts, but criteria for flaky.
pub(crate) fn tally(record: &RunRecord) -> String {
    let tally = record.tally();
    let mut parts = vec![
        format!("{} passed", tally.pass),
        format!("{} failed", tally.fail),
        format!("{} unknown", tally.unknown),
        format!("{} skipped", tally.skipped),
    ];
    let flaky = record.flaky().len();
    if flaky > 0 {
        parts.push(format!("{flaky} flaky"));
    }
    parts.join(", ")
}

/// The wall time beside what no schedule on this machine can beat.
pub(crate) fn wall(record: &RunRecord) -> String {
    let bound = &record.bound;
    format!(
        "{}; at least {} on this machine (longest scenario {}, CPU {} on {})",
        text::duration(record.wall_ms),
        text::duration(bound.bound_ms),
        text::duration(bound.longest_scenario_ms),
        text::duration(bound.cpu_ms),
        text::count(record.machine.cores, "core"),
    )
}

/// `exit 1: a criterion failed`.
pub(crate) fn exit(code: ExitCode) -> String {
    format!("exit {}: {}", code.number(), code.meaning())
}

/// The provider and why it was taken.
pub(crate) fn provider(record: &RunRecord) -> String {
    let provider = &record.provider;
    text::one_line(&format!("{}: {}", provider.kind, provider.reason))
}

/// The subject, with what the command line added to its environment.
pub(crate) fn subject(record: &RunRecord) -> String {
    let subject = &record.subject;
    let extra = match subject.extra_environment.is_empty() {
        true => String::new(),
        false => format!(", with {}", text::pairs(&subject.extra_environment)),
    };
    text::one_line(&format!("{} ({}){extra}", subject.name, subject.manifest))
}

/// What the run ran on.
pub(crate) fn machine(record: &RunRecord) -> String {
    let machine = &record.machine;
    text::one_line(&format!(
        "{}, {}, {}, {} MiB",
        machine.system,
        machine.processor,
        text::count(machine.cores, "core"),
        machine.memory_mib
    ))
}

/// The longest attempt of each of the `limit` longest criteria, longest first.
pub(crate) fn longest(record: &RunRecord, limit: usize) -> Vec<&ScenarioRecord> {
    let mut scenarios: Vec<&ScenarioRecord> = criteria(record)
        .into_iter()
        .filter_map(|view| view.attempts.into_iter().max_by_key(|a| a.duration_ms))
        .filter(|scenario| scenario.duration_ms > 0)
        .collect();
    scenarios.sort_by_key(|scenario| std::cmp::Reverse(scenario.duration_ms));
    scenarios.truncate(limit);
    scenarios
}

/// The `limit` longest steps of an attempt, longest first, each with its share of the attempt.
pub(crate) fn longest_steps(scenario: &ScenarioRecord, limit: usize) -> Vec<String> {
    let mut steps: Vec<_> = scenario.steps.iter().collect();
    steps.sort_by_key(|step| std::cmp::Reverse(step.took_ms));
    steps.truncate(limit);
    let whole = scenario.duration_ms.max(1);
    let described = steps.into_iter().map(|step| {
        let share = step.took_ms * 100 / whole;
        let step_text = text::one_line(&step.text);
        format!("{step_text} {} ({share} %)", text::duration(step.took_ms))
    });
    described.collect()
}

/// The log files of an attempt, as paths that can be opened from where the report folder's path
/// was given.
pub(crate) fn logs(scenario: &ScenarioRecord, report_folder: Option<&Path>) -> Vec<String> {
    let paths = scenario.logs.iter().map(|log| match report_folder {
        Some(folder) => folder.join(log),
        None => PathBuf::from(log),
    });
    paths
        .map(|path| text::one_line(&path.display().to_string()))
        .collect()
}

/// What supports a verdict that is not a pass.
pub(crate) fn evidence(verdict: &Verdict) -> &[String] {
    match verdict {
        Verdict::Fail(finding) => &finding.evidence,
        Verdict::Unknown { evidence, .. } => evidence,
        Verdict::Pass | Verdict::Skipped { .. } => &[],
    }
}
