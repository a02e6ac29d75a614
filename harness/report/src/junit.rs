//! `junit.xml`: a suite per area, a case per attempt. A report is red exactly when the gate is.
//!
//! Every attempt is a case of its own: JUnit's `flakyFailure` counts as a pass in most readers, and
//! would hide what rule 10 of the design wants seen.

use crate::text;
use crate::view::{self, CriterionView, Outcome};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;
use touchstone_core::record::ScenarioRecord;
use touchstone_core::{ExitCode, Finding, RunRecord, Verdict};

/// Why a record could not be rendered: a bug of ours or of the library.
#[derive(Debug, thiserror::Error)]
#[error("cannot serialise the JUnit report")]
pub struct JunitError {
    #[from]
    source: quick_junit::SerializeError,
}

/// The record as JUnit XML.
pub fn render(record: &RunRecord, exit_code: ExitCode) -> Result<String, JunitError> {
    let mut report = Report::new("touchstone");
    report.set_time(Duration::from_millis(record.wall_ms));
    let mut suites: Vec<TestSuite> = Vec::new();
    for view in view::criteria(record) {
        let name = text::one_line(area(view.id()));
        let suite = match suites.iter_mut().find(|s| s.name.as_str() == name) {
            Some(suite) => suite,
            None => {
                suites.push(suite_of(record, &name));
                suites.last_mut().expect("one was pushed")
            }
        };
        suite.add_test_cases(cases_of(&view, &name));
    }
    suites.iter_mut().for_each(set_total_time);
    report.add_test_suites(suites);
    report.add_test_suites(run_itself(record, exit_code));
    Ok(report.to_string()?)
}

fn area(criterion: &str) -> &str {
    criterion
        .split_once('-')
        .map_or(criterion, |(area, _)| area)
}

/// An empty suite with what all its cases share.
fn suite_of(record: &RunRecord, name: &str) -> TestSuite {
    let mut suite = TestSuite::new(name);
    let started_at = record.started_at.to_string();
    suite.extra.insert("timestamp".into(), started_at.into());
    let mut properties = vec![
        ("run".to_owned(), record.run_id.clone()),
        ("seed".to_owned(), record.seed.to_string()),
        ("profile".to_owned(), record.profile.to_string()),
        ("subject".to_owned(), view::subject(record)),
        ("provider".to_owned(), view::provider(record)),
    ];
    let versions = record.versions.iter();
    properties.extend(versions.map(|(name, version)| (format!("version.{name}"), version.clone())));
    for (name, value) in properties {
        suite.add_property(Property::new(text::one_line(&name), text::one_line(&value)));
    }
    suite
}

fn set_total_time(suite: &mut TestSuite) {
    let total = suite.test_cases.iter().filter_map(|case| case.time).sum();
    suite.set_time(total);
}

fn cases_of(view: &CriterionView<'_>, area: &str) -> Vec<TestCase> {
    let words: Vec<&str> = view.attempts.iter().map(|a| a.verdict.word()).collect();
    let flaky = (view.outcome == Outcome::Flaky).then(|| words.join(", "));
    let cases = view.attempts.iter().map(|scenario| {
        let mut case = TestCase::new(view::key(scenario), status(scenario, flaky.as_deref()));
        case.set_classname(format!("touchstone.{area}"));
        case.set_time(Duration::from_millis(scenario.duration_ms));
        let started_at = scenario.started_at.to_string();
        case.extra.insert("timestamp".into(), started_at.into());
        for (name, value) in [
            ("statement", text::one_line(&scenario.statement)),
            ("seed", scenario.seed.to_string()),
            ("reproduce", text::one_line(&scenario.reproduce)),
        ] {
            case.add_property(Property::new(name, value));
        }
        if let Some(words) = &flaky {
            case.add_property(Property::new("flaky", words.as_str()));
        }
        case.set_system_out(account(scenario));
        case
    });
    cases.collect()
}

fn status(scenario: &ScenarioRecord, flaky: Option<&str>) -> TestCaseStatus {
    let (mut status, kind) = match &scenario.verdict {
        Verdict::Pass => return TestCaseStatus::success(),
        Verdict::Skipped { declared: true, .. } => (TestCaseStatus::skipped(), "declared"),
        // A skip is green for most readers, but this one fails the gate.
        Verdict::Skipped { .. } => (failure(), "undeclared skip"),
        Verdict::Fail(_) => (failure(), "fail"),
        Verdict::Unknown { .. } => (
            TestCaseStatus::non_success(NonSuccessKind::Error),
            "unknown",
        ),
    };
    status.set_type(kind);
    status.set_message(view::reason(scenario));
    if !matches!(scenario.verdict, Verdict::Skipped { declared: true, .. }) {
        status.set_description(description(scenario, flaky));
    }
    status
}

fn failure() -> TestCaseStatus {
    TestCaseStatus::non_success(NonSuccessKind::Failure)
}

/// What a person needs who sees nothing but this case.
fn description(scenario: &ScenarioRecord, flaky: Option<&str>) -> String {
    let mut lines = Vec::new();
    lines.extend(flaky.map(|words| format!("flaky: the attempts of this run ended {words}")));
    match &scenario.verdict {
        Verdict::Fail(Finding { expected, seen, .. }) => {
            lines.push(format!("expected: {}", text::one_line(expected)));
            lines.push(format!("seen: {}", text::one_line(seen)));
        }
        _ => lines.push(format!("reason: {}", view::reason(scenario))),
    }
    let evidence = view::evidence(&scenario.verdict);
    if !evidence.is_empty() {
        lines.push("evidence:".to_owned());
        let evidence = evidence.iter().flat_map(|entry| text::lines(entry));
        lines.extend(evidence.map(|line| format!("  {line}")));
    }
    lines.push(format!("repeat: {}", text::one_line(&scenario.reproduce)));
    lines.join("\n")
}

/// What was done and measured, also for a pass: steps, faults, deadlines, observations, logs.
fn account(scenario: &ScenarioRecord) -> String {
    let steps = scenario.steps.iter().map(|step| {
        let took = text::duration(step.took_ms);
        format!(
            "step at {}: {} ({took})",
            text::duration(step.at_ms),
            text::one_line(&step.text)
        )
    });
    let faults = scenario
        .faults
        .iter()
        .map(|f| format!("fault: {}", view::fault(f)));
    let deadlines = scenario.deadlines.iter();
    let deadlines = deadlines.map(|d| format!("deadline: {}", view::deadline(d)));
    let observations = scenario.observations.iter();
    let observations = observations.map(|o| format!("observed: {}", text::one_line(o)));
    let logs = view::logs(scenario, None)
        .into_iter()
        .map(|log| format!("log: {log}"));
    let stall = format!(
        "worst stall of the harness: {}",
        text::duration(scenario.worst_stall_ms)
    );
    let lines = steps
        .chain(faults)
        .chain(deadlines)
        .chain(observations)
        .chain(logs);
    lines.chain([stall]).collect::<Vec<_>>().join("\n")
}

/// A case for what no scenario accounts for: an interrupted run, a bug of the harness. Without it
/// the report would be green while the gate is not.
fn run_itself(record: &RunRecord, exit_code: ExitCode) -> Option<TestSuite> {
    let of_scenarios = record.scenarios.iter().map(ExitCode::of_scenario);
    if exit_code == ExitCode::Holds || exit_code == ExitCode::most_severe(of_scenarios) {
        return None;
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type("run").set_message(view::exit(exit_code));
    let mut case = TestCase::new("the run itself", status);
    case.set_classname("touchstone.run");
    let mut suite = suite_of(record, "run");
    suite.add_test_case(case);
    Some(suite)
}
