//! The schema of the record says what records are: it takes every one, and refuses what is none.

#![allow(clippy::unwrap_used)]

use jsonschema::Validator;
use serde_json::{Value, json};
use std::path::Path;
use touchstone_report::{json as record_json, sample, schema};

fn validator() -> Validator {
    let schema = serde_json::from_str(&schema::render().unwrap()).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn problems(record: &Value) -> Vec<String> {
    let validator = validator();
    let errors = validator.iter_errors(record);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

fn sample_record() -> Value {
    serde_json::from_str(&record_json::render(&sample::record()).unwrap()).unwrap()
}

#[test]
fn the_copy_for_readers_is_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/record.schema.json");
    let copy = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        copy == schema::render().unwrap(),
        "write it anew: touchstone schema > docs/record.schema.json"
    );
}

#[test]
fn it_takes_the_sample_records_and_those_from_before_there_was_an_audit() {
    for record in [sample::record(), sample::hostile()] {
        let text = record_json::render(&record).unwrap();
        assert_eq!(problems(&serde_json::from_str(&text).unwrap()), [""; 0]);
    }
    let mut old = sample_record();
    old.as_object_mut().unwrap().remove("audit");
    for scenario in old["scenarios"].as_array_mut().unwrap() {
        scenario.as_object_mut().unwrap().remove("audit");
        scenario.as_object_mut().unwrap().remove("not_run");
    }
    assert_eq!(problems(&old), [""; 0]);
}

#[test]
fn it_refuses_what_no_reader_of_ours_would_understand() {
    let set = |pointer: &str, value: Value| {
        let mut record = sample_record();
        *record.pointer_mut(pointer).expect(pointer) = value;
        record
    };
    let without = |key: &str| {
        let mut record = sample_record();
        record.as_object_mut().unwrap().remove(key).expect(key);
        record
    };
    for (what, record) in [
        ("another version", set("/schema_version", json!(99))),
        (
            "a verdict that there is not",
            set("/scenarios/0/verdict", json!({"kind": "perhaps"})),
        ),
        (
            "a failure that does not say what was seen",
            set(
                "/scenarios/0/verdict",
                json!({"kind": "fail", "expected": "a pass", "evidence": []}),
            ),
        ),
        (
            "a profile that there is not",
            set("/profile", json!("nightly")),
        ),
        ("a time as text", set("/wall_ms", json!("12 s"))),
        ("a negative time", set("/wall_ms", json!(-1))),
        ("no seed", without("seed")),
        ("no scenarios", without("scenarios")),
    ] {
        assert_ne!(problems(&record), [""; 0], "{what}");
    }
}
