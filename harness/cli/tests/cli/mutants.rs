//! `mutants`: defects are caught by name, and what cannot be proven is said.

use crate::support::{Place, fixture, run};
use std::path::PathBuf;
use std::process::Command;

fn mutants(place: &Place) -> Command {
    let mut command = place.touchstone();
    command
        .args(["mutants", "--provider", "process", "--report-dir"])
        .arg(place.path("reports"));
    command
}

/// The reference manifest with other mutants.
fn manifest_with(place: &Place, caught_by: &str) -> PathBuf {
    place.manifest_of_backend(|text| {
        let (before, _) = text.split_once("[mutants]").expect("it has mutants");
        let section = "[mutants]\nenv = \"BACKEND_DEFECT\"\n[mutants.caught_by]\n";
        format!("{before}{section}{caught_by}")
    })
}

#[test]
fn a_defect_is_caught_one_that_another_criterion_catches_escapes_and_one_that_is_none_is_unknown() {
    let place = Place::new();
    let manifest = manifest_with(
        &place,
        "expire-always-one = \"KV-2\"\nttl-missing-key-is-minus-one = \"KV-6\"\nno-such-defect = \"HLTH-4\"\nfuture = \"NEXT-1\"\n",
    );
    let ended = run(mutants(&place).arg("--subject").arg(&manifest));
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    let row = |name: &str| {
        let row = ended.stdout.lines().find(|line| line.starts_with(name));
        row.unwrap_or_else(|| panic!("no {name} in {ended:#?}"))
            .to_owned()
    };
    assert!(
        row("expire-always-one").contains("KV-2       caught"),
        "{ended:#?}"
    );
    assert!(
        row("ttl-missing-key").contains("KV-6       ESCAPED"),
        "{ended:#?}"
    );
    assert!(
        row("no-such-defect").contains("HLTH-4     unknown"),
        "{ended:#?}"
    );
    for text in [
        "no scenario for them: future (NEXT-1)",
        "--env BACKEND_DEFECT=ttl-missing-key-is-minus-one",
        "1 of 3 mutants caught",
    ] {
        assert!(ended.stdout.contains(text), "no `{text}` in {ended:#?}");
    }
    let caught = run(mutants(&place)
        .arg("expire-always-one")
        .arg("--subject")
        .arg(&manifest));
    assert_eq!(caught.code, Some(0), "{caught:#?}");
    let unknown = run(mutants(&place)
        .arg("no-such-defect")
        .arg("--subject")
        .arg(&manifest));
    assert_eq!(unknown.code, Some(4), "{unknown:#?}");
}

#[test]
fn the_list_says_which_mutants_have_no_scenario_and_which_criteria_no_mutant() {
    let place = Place::new();
    let manifest = manifest_with(&place, "health-lies = \"HLTH-2\"\nfuture = \"NEXT-1\"\n");
    let ended = run(mutants(&place)
        .arg("--list")
        .arg("--subject")
        .arg(&manifest));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let future = ended.stdout.lines().find(|line| line.starts_with("future"));
    assert!(
        future.is_some_and(|line| line.contains("no scenario")),
        "{ended:#?}"
    );
    let unproven = ended
        .stdout
        .lines()
        .find(|line| line.starts_with("warning: no mutant"));
    assert!(
        unproven.is_some_and(|line| line.contains("HLTH-3")),
        "{ended:#?}"
    );
}

#[test]
fn a_mutants_section_that_cannot_be_used_is_refused() {
    let place = Place::new();
    for (name, filter, said) in [
        ("mutants.toml", None, "`mutants.caught_by.lies`: `HLTH2`"),
        ("crashes.toml", None, "has no `[mutants]`"),
    ] {
        let mut command = mutants(&place);
        command
            .arg("--subject")
            .arg(fixture(name))
            .args(filter.into_iter().collect::<Vec<&str>>());
        let ended = run(&mut command);
        assert_eq!(ended.code, Some(2), "{ended:#?}");
        assert!(ended.stderr.contains(said), "{ended:#?}");
    }
    let manifest = manifest_with(&place, "health-lies = \"HLTH-2\"\nfuture = \"NEXT-1\"\n");
    for (filter, said) in [
        ("nonsense", "matches no mutant"),
        ("future", "no scenario for NEXT-1"),
    ] {
        let ended = run(mutants(&place).arg(filter).arg("--subject").arg(&manifest));
        assert_eq!(ended.code, Some(2), "{ended:#?}");
        assert!(ended.stderr.contains(said), "{ended:#?}");
    }
}
