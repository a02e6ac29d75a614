//! The registry, the documents and the manifest of the reference backend agree.

use std::collections::BTreeSet;
use std::path::Path;
use touchstone_engine::subject::Manifest;

fn document(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_criterion_has_its_row_with_the_same_words() {
    let criteria = document("docs/CRITERIA.md");
    for scenario in touchstone_scenarios::all() {
        let row = format!(
            "| {} | {} |",
            scenario.criterion.id, scenario.criterion.statement
        );
        assert!(
            criteria.contains(&row),
            "docs/CRITERIA.md lacks the row:\n{row}"
        );
    }
}

#[test]
fn every_row_has_its_criterion() {
    let known: BTreeSet<&str> = touchstone_scenarios::all()
        .map(|s| s.criterion.id)
        .collect();
    for line in document("docs/CRITERIA.md").lines() {
        let id = line
            .strip_prefix("| ")
            .and_then(|rest| rest.split(" | ").next());
        let is_id = |id: &&str| id.contains('-') && id.chars().all(|c| !c.is_ascii_lowercase());
        if let Some(id) = id.filter(is_id).filter(|id| !id.contains("---")) {
            assert!(
                known.contains(id),
                "docs/CRITERIA.md has a row for {id}, which nothing checks"
            );
        }
    }
}

#[test]
fn ids_are_unique() {
    let ids: Vec<&str> = touchstone_scenarios::all()
        .map(|s| s.criterion.id)
        .collect();
    let unique: BTreeSet<&&str> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
}

#[test]
fn every_criterion_has_a_defect_that_it_must_catch() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/subjects/reference.toml");
    let manifest = Manifest::load(&path).unwrap_or_else(|error| panic!("{error}"));
    let mutants = manifest
        .mutants
        .expect("the reference manifest has mutants");
    let caught: BTreeSet<&str> = mutants.caught_by.values().map(String::as_str).collect();
    for scenario in touchstone_scenarios::all() {
        let id = scenario.criterion.id;
        assert!(
            caught.contains(id),
            "no defect in [mutants.caught_by] belongs to {id}"
        );
    }
}
