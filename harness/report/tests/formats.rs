//! Every format on the one sample record, as committed files in `tests/snapshots`: open them to see
//! what a format looks like. `UPDATE_SNAPSHOTS=1 cargo test -p touchstone-report` rewrites them; the
//! diff is then for a person to read.

#![allow(clippy::unwrap_used)]

mod common;

use common::{plain_terminal, snapshot};
use touchstone_core::{ExitCode, RunRecord};
use touchstone_report::terminal::{ColorChoice, Verbosity};
use touchstone_report::{TerminalOptions, json, junit, markdown, sample};

fn of_width(width: Option<usize>) -> TerminalOptions {
    TerminalOptions {
        width,
        report_folder: Some("reports/runs/20260314-092653-c0ffee".into()),
        ..TerminalOptions::default()
    }
}

/// A run without a blemish: what people see on most days.
fn passing() -> RunRecord {
    let mut record = sample::record();
    record.scenarios.truncate(1);
    record.warnings.clear();
    record.audit = record.scenarios[0].audit.clone();
    record
}

#[test]
fn the_terminal_at_80_columns() {
    let text = plain_terminal(&sample::record(), of_width(Some(80)));
    snapshot("terminal-80.txt", &text);
    let folder_and_command = |line: &&str| !line.contains('/');
    for line in text.lines().filter(folder_and_command) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn the_terminal_in_a_pipe_has_no_limit_of_width_and_no_colour() {
    let text = plain_terminal(&sample::record(), of_width(None));
    snapshot("terminal-pipe.txt", &text);
    let is_odd = |c: char| c.is_control() && c != '\n';
    assert_eq!(text.chars().find(|c| is_odd(*c)), None);
    assert!(text.is_ascii());
}

#[test]
fn the_verbose_terminal_in_colour() {
    let options = TerminalOptions {
        color: ColorChoice::Always,
        verbosity: Verbosity::Verbose,
        ..of_width(Some(100))
    };
    let text = plain_terminal(&sample::record(), options);
    // As it is shown by `cat`, but readable in a diff.
    snapshot("terminal-verbose.txt", &text.replace('\u{1b}', "^["));
}

#[test]
fn the_terminal_when_all_is_well() {
    let text = plain_terminal(&passing(), of_width(Some(80)));
    snapshot("terminal-passing.txt", &text);
}

#[test]
fn each_finished_scenario_is_one_line_that_grep_finds() {
    let text = plain_terminal(&sample::record(), of_width(None));
    let begin_with = |word: &str| {
        let lines = text.lines().filter(|line| line.starts_with(word));
        // Those with the time are the progress; the others are the explanations at the end.
        lines.filter(|line| line.contains("s  ")).count()
    };
    let found = ["PASS ", "FAIL ", "UNKNOWN ", "SKIPPED "].map(begin_with);
    let tally = sample::record().tally();
    let expected = [tally.pass, tally.fail, tally.unknown, tally.skipped];
    assert_eq!(found, expected, "{text}");
}

#[test]
fn json() {
    snapshot("record.json", &json::render(&sample::record()).unwrap());
}

#[test]
fn junit_xml() {
    let record = sample::record();
    let xml = junit::render(&record, record.exit_code()).unwrap();
    snapshot("junit.xml", &xml);
}

#[test]
fn markdown_summary() {
    let record = sample::record();
    let page = markdown::render(&record, record.exit_code());
    snapshot("summary.md", &page);
}

#[test]
fn a_passing_record_says_so_in_every_format() {
    let record = passing();
    assert_eq!(record.exit_code(), ExitCode::Holds);
    let page = markdown::render(&record, ExitCode::Holds);
    assert!(page.starts_with("## ✅"), "{page}");
    assert!(!page.contains("❌"), "{page}");
    let xml = junit::render(&record, ExitCode::Holds).unwrap();
    assert!(xml.contains(r#"failures="0" errors="0""#), "{xml}");
}

#[test]
fn a_huge_record_stays_below_the_limit_of_a_step_summary() {
    let mut record = sample::record();
    let template = record.scenarios[1].clone();
    record.scenarios = (0..2_000)
        .map(|number| {
            let mut scenario = template.clone();
            scenario.criterion = format!("HLTH-{number}");
            scenario
        })
        .collect();
    let page = markdown::render(&record, record.exit_code());
    assert!(page.len() < 1024 * 1024, "{}", page.len());
    assert!(page.contains("the rest is in record.json"));
}
