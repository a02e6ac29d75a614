//! What is printed, and for whom.

use crate::support::{Place, fixture, run};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn the_list_tells_every_criterion_with_its_profile_and_needs_no_manifest() {
    let place = Place::new();
    let mut list = place.touchstone();
    list.args(["check", "--list", "--subject", "/nowhere.toml", "HLTH-2"]);
    let ended = run(&mut list);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stdout.starts_with("HLTH-2    merge"), "{ended:#?}");
    assert_eq!(ended.stdout.lines().count(), 2, "{ended:#?}");
}

#[test]
fn help_has_examples_and_the_exit_codes() {
    let place = Place::new();
    for (args, said) in [
        (vec!["--help"], "Exit codes:"),
        (vec!["check", "--help"], "Examples:"),
        (vec!["mutants", "--help"], "Examples:"),
        (vec!["sweep", "--help"], "Exit codes:"),
        (vec!["doctor", "--help"], "Exit codes:"),
    ] {
        let ended = run(place.touchstone().args(&args));
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:#?}");
        assert!(ended.stdout.contains(said), "{args:?}: {ended:#?}");
    }
}

#[test]
fn a_reader_that_goes_away_does_not_break_it() {
    let place = Place::new();
    for mut command in [place.check_what_passes(), {
        let mut list = place.touchstone();
        list.args(["check", "--list"]);
        list
    }] {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let mut reader = BufReader::with_capacity(1, child.stdout.take().expect("piped"));
        reader.read_line(&mut line).expect("a line");
        drop(reader);
        let ended = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(0), "{command:?}: {said}");
        assert_eq!(said, "", "{command:?}");
    }
}

#[test]
fn a_secret_in_the_environment_is_shown_nowhere() {
    let place = Place::new();
    let mut check = place.check_fixture("crashes.toml");
    check.args([
        "--env",
        "API_TOKEN=hunter2-and-more",
        "--env",
        "LEVEL=debug it",
    ]);
    check.args(["--env", "BROKER_URL=amqp://me:swordfish-7@host/x"]);
    let ended = run(&mut check);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(
        ended.stdout.contains("--env API_TOKEN=\"$API_TOKEN\""),
        "{ended:#?}"
    );
    assert!(
        ended.stdout.contains("--env 'LEVEL=debug it'"),
        "{ended:#?}"
    );
    let folder = place.path("reports/runs/latest");
    let mut texts = vec![ended.stdout, ended.stderr];
    for name in ["record.json", "junit.xml", "summary.md"] {
        texts.push(std::fs::read_to_string(folder.join(name)).expect(name));
    }
    for text in texts {
        let shown = text.contains("hunter2") || text.contains("swordfish");
        assert!(!shown, "{text}");
    }
}

#[test]
fn the_doctor_names_everything_and_takes_a_provider_that_works() {
    let place = Place::new();
    let mut doctor = place.touchstone();
    doctor
        .args(["doctor", "--subject"])
        .arg(fixture("crashes.toml"));
    let ended = run(doctor.env("DOCKER_HOST", "unix:///nonexistent"));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for text in [
        "redis-server",
        "postgres",
        "engine",
        "temp space",
        "crashes.toml",
        "takes process",
    ] {
        assert!(ended.stdout.contains(text), "no `{text}` in {ended:#?}");
    }
    assert!(!ended.stdout.contains('\u{1b}'), "no colours into a pipe");
}
