//! What the subject sent, in the reports of a run.

use crate::support::{Place, run};
use std::fs;

#[test]
fn the_record_and_the_summary_tell_what_the_subject_sent() {
    let place = Place::new();
    let ended = run(&mut place.check_what_passes());
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stdout.contains("Sent by the subject"), "{ended:#?}");

    let record = place.record();
    let audit = &record["audit"];
    let commands = audit["commands"].as_array().expect("commands");
    let set = commands
        .iter()
        .find(|command| command["store"] == "redis" && command["name"] == "SET")
        .expect("a SET");
    assert!(
        set["count"].as_u64() > Some(0) && set["sent_bytes"].as_u64() > Some(0),
        "{set}"
    );
    assert!(set["slowest_us"].is_u64(), "{set}");
    let is_of_one_set = |requests: &serde_json::Value| {
        requests["operation"] == "kv_set" && requests["median"].as_u64() >= Some(1)
    };
    let per_request = audit["per_request"].as_array().expect("requests");
    assert!(per_request.iter().any(is_of_one_set), "{per_request:#?}");
    assert_eq!(audit["clients"][0]["library"], "redis-rs", "{audit:#}");
    assert_eq!(audit["undecoded"], serde_json::json!([]));
    for scenario in record["scenarios"].as_array().expect("scenarios") {
        assert!(scenario["audit"]["commands"].is_array(), "{scenario:#}");
    }
    let summary = fs::read_to_string(place.path("reports/runs/latest/summary.md"));
    let summary = summary.expect("a summary");
    assert!(summary.contains("What the subject sent"), "{summary}");
}
