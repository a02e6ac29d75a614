//! What a run leaves behind in its folder: complete, killed midway, or hindered.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use touchstone_core::event::{EventSink, RunEvent, RunEventKind};
use touchstone_core::{ExitCode, RunRecord};
use touchstone_report::writer::RunFolderError;
use touchstone_report::{RunFolder, json, sample};

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn send_all(folder: &mut RunFolder, events: &[RunEvent]) {
    for event in events {
        folder.on_event(event).unwrap();
    }
}

fn is_end(event: &RunEvent) -> bool {
    matches!(event.kind, RunEventKind::RunFinished { .. })
}

fn finished_scenarios(events: &[RunEvent]) -> Vec<(String, u32)> {
    let finished = events.iter().filter_map(|event| match &event.kind {
        RunEventKind::ScenarioFinished { record } => {
            Some((record.criterion.clone(), record.attempt))
        }
        _ => None,
    });
    finished.collect()
}

#[test]
fn a_finished_run_leaves_every_format_and_a_link_to_it() {
    let reports = tempfile::tempdir().unwrap();
    let record = sample::record();
    let mut folder = RunFolder::create(reports.path(), &record.run_id, None).unwrap();
    send_all(&mut folder, &sample::events(&record));

    let formats = ["faults.jsonl", "junit.xml", "record.json", "summary.md"];
    assert_eq!(names_in(folder.path()), formats);
    let runs = reports.path().join("runs");
    assert_eq!(names_in(&runs), [record.run_id.as_str(), "latest"]);
    let target = fs::read_link(runs.join("latest")).unwrap();
    assert_eq!(target, Path::new(&record.run_id), "the link is relative");
    assert_eq!(
        json::read(&runs.join("latest/record.json")).unwrap(),
        record
    );
}

#[test]
fn a_run_that_is_killed_leaves_what_had_finished_and_never_passes_a_gate() {
    let reports = tempfile::tempdir().unwrap();
    let record = sample::record();
    let mut folder = RunFolder::create(reports.path(), &record.run_id, None).unwrap();
    let path = folder.path().join("record.json");
    let events = sample::events(&record);
    for (number, event) in events.iter().enumerate().filter(|(_, e)| !is_end(e)) {
        folder.on_event(event).unwrap();
        let partial: RunRecord = json::read(&path).unwrap();
        let known = partial.scenarios.iter();
        let known: Vec<_> = known.map(|s| (s.criterion.clone(), s.attempt)).collect();
        assert_eq!(known, finished_scenarios(&events[..=number]));
        assert_eq!(partial.exit_code(), ExitCode::Interrupted);
        assert_eq!(partial.seed, record.seed);
        assert_eq!(partial.provider.kind, "process");
    }
    assert_eq!(names_in(folder.path()), ["record.json"]);
    assert_eq!(
        json::read(&path).unwrap().scenarios.len(),
        record.scenarios.len()
    );
}

#[test]
fn the_summary_is_appended_to_the_step_summary() {
    let reports = tempfile::tempdir().unwrap();
    let step_summary = reports.path().join("step.md");
    fs::write(&step_summary, "of another step\n").unwrap();
    let record = sample::record();
    let mut folder =
        RunFolder::create(reports.path(), "run-1", Some(step_summary.clone())).unwrap();
    send_all(&mut folder, &sample::events(&record));
    let summary = fs::read_to_string(folder.path().join("summary.md")).unwrap();
    let appended = fs::read_to_string(&step_summary).unwrap();
    assert_eq!(appended, format!("of another step\n{summary}"));
}

#[test]
fn a_format_that_cannot_be_written_is_named_and_stops_no_other() {
    let reports = tempfile::tempdir().unwrap();
    let record = sample::record();
    let nowhere = reports.path().join("no/such/folder/step.md");
    let mut folder = RunFolder::create(reports.path(), "run-1", Some(nowhere)).unwrap();
    fs::create_dir(folder.path().join("junit.xml")).unwrap();
    let events = sample::events(&record);
    let (end, before) = events.split_last().unwrap();
    send_all(&mut folder, before);
    let error = folder.on_event(end).unwrap_err().to_string();
    assert!(error.contains("cannot write junit.xml"), "{error}");
    assert!(error.contains("cannot write the step summary"), "{error}");
    assert_eq!(
        json::read(&folder.path().join("record.json")).unwrap(),
        record
    );
    assert!(folder.path().join("summary.md").is_file());
}

#[test]
fn the_link_follows_the_newest_run() {
    let reports = tempfile::tempdir().unwrap();
    for run_id in ["run-1", "run-2"] {
        RunFolder::create(reports.path(), run_id, None).unwrap();
        let latest = fs::read_link(reports.path().join("runs/latest")).unwrap();
        assert_eq!(latest, Path::new(run_id));
    }
}

#[test]
fn reports_of_two_runs_are_never_mixed_and_an_id_stays_in_its_folder() {
    let reports = tempfile::tempdir().unwrap();
    RunFolder::create(reports.path(), "run-1", None).unwrap();
    let again = RunFolder::create(reports.path(), "run-1", None).unwrap_err();
    assert!(matches!(again, RunFolderError::Exists { .. }), "{again}");
    for run_id in ["", ".", "..", "../up", "a/b", "/tmp", "run/", "latest"] {
        let error = RunFolder::create(reports.path(), run_id, None).unwrap_err();
        assert!(
            matches!(error, RunFolderError::InvalidRunId { .. }),
            "{run_id}"
        );
    }
    let file = reports.path().join("a-file");
    fs::write(&file, "").unwrap();
    let error = RunFolder::create(&file, "run-1", None).unwrap_err();
    assert!(
        matches!(error, RunFolderError::NotWritable { .. }),
        "{error}"
    );
}
