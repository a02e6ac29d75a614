//! What is told of the criteria, of the record and of the command line itself.

use crate::support::{Place, fixture, run, validator};
use std::process::Command;

#[test]
fn a_criterion_is_explained_in_whole() {
    let place = Place::new();
    let ended = run(place.touchstone().args(["explain", "hlth-2", "RECON-3"]));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    // Where a line is broken depends on how wide the terminal is.
    let told = ended
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    for text in [
        "HLTH-2 (HLTH: health; profile merge)",
        "first seen 1 s or less after the stop",
        "20 probes a second before, during and after",
        "- [health]: path, statuses",
        "- health-lies (--env BACKEND_DEFECT=health-lies)",
        "touchstone check HLTH-2 --subject fixtures/subjects/reference.toml",
        "touchstone check RECON-3 --profile release --subject",
        "- operations.kv_set: a request with `key`, `value`",
    ] {
        assert!(told.contains(text), "no `{text}` in {ended:#?}");
    }
    assert!(!ended.stdout.contains("[cache]"), "{ended:#?}");
}

#[test]
fn every_criterion_of_the_list_can_be_explained_without_a_manifest() {
    let place = Place::new();
    let list = run(place
        .touchstone()
        .args(["check", "--list", "--profile", "release"]));
    let ids: Vec<&str> = list
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|id| id.contains('-'))
        .collect();
    assert!(ids.len() > 50, "{ids:?}");
    let mut explain = place.touchstone();
    explain.arg("explain").args(&ids);
    let ended = run(explain.args(["--subject", "/nowhere.toml"]));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for id in ids {
        assert!(ended.stdout.contains(&format!("\n{id}  (")) || ended.stdout.starts_with(id));
    }
    let unknown = run(place.touchstone().args(["explain", "HLTH-99"]));
    assert_eq!(unknown.code, Some(2), "{unknown:#?}");
}

#[test]
fn what_the_manifest_declares_absent_is_told() {
    let place = Place::new();
    let manifest = place.manifest_of_backend(|text| {
        let (before, rest) = text
            .split_once("[operations.cache_invalidate]")
            .expect("it has it");
        let (_, after) = rest.split_once("\n\n").expect("a blank line");
        format!("{before}{after}\n[absent]\ncache_invalidate = \"no bulk changes here\"\n")
    });
    let mut explain = place.touchstone();
    let ended = run(explain
        .args(["explain", "CACHE-6", "--subject"])
        .arg(manifest));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let told = "`cache_invalidate`: no bulk changes here";
    assert!(ended.stdout.contains(told), "{ended:#?}");
}

#[test]
fn completions_know_the_criteria_and_a_shell_takes_them() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let ended = run(place.touchstone().args(["completions", shell]));
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        // The script for fish completes no values of its own.
        let criterion = if shell == "fish" { "explain" } else { "HLTH-2" };
        for word in [criterion, "keep-on-fail", "status"] {
            assert!(ended.stdout.contains(word), "{shell}: no {word}");
        }
        if shell == "bash" {
            let script = place.path("touchstone.bash");
            std::fs::write(&script, &ended.stdout).expect("written");
            let asked = "COMP_WORDS=(touchstone check KV-); COMP_CWORD=2; COMPREPLY=(); \
                         _touchstone touchstone KV- check; echo \"${COMPREPLY[@]}\"";
            let mut bash = Command::new("bash");
            bash.arg("-c")
                .arg(format!(". {}; {asked}", script.display()));
            let completed = run(&mut bash);
            assert!(completed.stdout.contains("KV-1 "), "{completed:#?}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let place = Place::new();
    for (command, said) in [
        (vec![], "touchstone"),
        (vec!["check"], "fail\\-fast"),
        (vec!["env", "up"], "A manifest whose schema is loaded"),
    ] {
        let ended = run(place.touchstone().arg("man").args(&command));
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert!(ended.stdout.contains(".TH touchstone"), "{ended:#?}");
        assert!(ended.stdout.contains(said), "{command:?}: {ended:#?}");
    }
    let unknown = run(place.touchstone().args(["man", "chekc"]));
    assert_eq!(unknown.code, Some(2), "{unknown:#?}");
}

#[test]
fn the_schema_that_is_printed_takes_the_record_of_a_run() {
    let place = Place::new();
    let schema = run(place.touchstone().arg("schema"));
    assert_eq!(schema.code, Some(0), "{schema:#?}");
    let validator = validator(&schema.stdout);
    let mut check = place.check();
    let ended = run(check
        .args(["KV-1", "--subject"])
        .arg(fixture("crashes.toml")));
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let mut record = place.record();
    assert!(validator.is_valid(&record));
    record["scenarios"][0]["verdict"]["kind"] = "perhaps".into();
    assert!(!validator.is_valid(&record));
}
