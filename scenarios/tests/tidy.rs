//! The registry, the documents and the manifest of the reference backend agree.

use std::collections::BTreeSet;
use std::path::Path;
use touchstone_engine::subject::{Manifest, OperationName};
use touchstone_scenarios::catalogue;

#[test]
fn every_criterion_has_its_row_with_the_same_words_and_profile() {
    let rows = catalogue::rows();
    for scenario in touchstone_scenarios::all() {
        let criterion = scenario.criterion;
        let row = rows.iter().find(|row| row.id == criterion.id);
        let row = row.unwrap_or_else(|| {
            panic!(
                "docs/CRITERIA.md lacks the row:\n| {} | {} | how | M |",
                criterion.id, criterion.statement
            )
        });
        assert_eq!(row.statement, criterion.statement, "{}", row.id);
        assert_eq!(row.profile, Some(criterion.profile), "{}", row.id);
        assert!(!row.how.is_empty(), "{}: how is it checked?", row.id);
        let area = format!("{}: ", criterion.area());
        assert!(
            row.area.starts_with(&area),
            "{} stands under {}",
            row.id,
            row.area
        );
    }
}

#[test]
fn every_row_has_its_criterion() {
    let known: BTreeSet<&str> = touchstone_scenarios::all()
        .map(|s| s.criterion.id)
        .collect();
    for row in catalogue::rows() {
        assert!(
            known.contains(row.id.as_str()),
            "docs/CRITERIA.md has a row for {}, which nothing checks",
            row.id
        );
    }
}

#[test]
fn what_the_manifest_is_said_to_be_needed_by_are_criteria_that_there_are() {
    let needs = catalogue::all_needs();
    for name in ["[subject]", "[health]", "operations.kv_get"] {
        let there = needs
            .iter()
            .any(|need| need.name == name && !need.by.is_empty());
        assert!(there, "docs/MANIFEST.md does not say what needs {name}");
    }
    for need in needs {
        for by in catalogue::references(&need.by) {
            let mut all = touchstone_scenarios::all();
            assert!(
                all.any(|scenario| by.covers(scenario.criterion.id)),
                "docs/MANIFEST.md: {} is needed by {by:?}, which nothing checks",
                need.name
            );
        }
    }
}

#[test]
fn every_operation_stands_in_the_document_of_the_manifest() {
    let needs = catalogue::all_needs();
    for operation in OperationName::ALL {
        let name = format!("operations.{}", operation.key());
        let stands = needs.iter().any(|need| need.name == name);
        assert!(
            stands,
            "docs/MANIFEST.md has no row of four cells for {name}"
        );
    }
}

/// A merge that takes both sides of a table leaves a row twice.
#[test]
fn no_row_of_the_documents_stands_twice() {
    let ids = catalogue::rows().into_iter().map(|row| row.id);
    let names = catalogue::all_needs().into_iter().map(|need| need.name);
    let all: Vec<String> = ids.chain(names).collect();
    for (place, row) in all.iter().enumerate() {
        assert!(!all[..place].contains(row), "{row} stands twice");
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
