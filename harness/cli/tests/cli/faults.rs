//! The plan of the faults as data.

use crate::support::{Place, run};
use std::fs;

#[test]
fn two_runs_with_one_seed_plan_the_same_faults_byte_for_byte() {
    let plans = ["1", "3"].map(|jobs| {
        let place = Place::new();
        let mut check = place.check_with_faults();
        // Whether the criteria hold is not asked: a busy machine may make them unknown.
        let ended = run(check.args(["--seed", "7", "--jobs", jobs]));
        let plan = fs::read_to_string(place.path("reports/runs/latest/faults.jsonl"));
        let plan = plan.unwrap_or_else(|error| panic!("{error}: {ended:#?}"));
        assert_is_told_in_the_record(&plan, &place.record());
        plan
    });
    assert!(plans[0].lines().count() >= 3, "{}", plans[0]);
    assert_eq!(plans[0], plans[1]);
}

/// What was observed of each planned fault stands at its place.
fn assert_is_told_in_the_record(plan: &str, record: &serde_json::Value) {
    let scenarios = record["scenarios"].as_array().expect("scenarios");
    for line in plan.lines() {
        let planned: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let of = |scenario: &&serde_json::Value| {
            ["criterion", "attempt"]
                .iter()
                .all(|key| scenario[key] == planned[key])
        };
        let scenario = scenarios.iter().find(of).expect("its scenario");
        let order = planned["order"].as_u64().expect("a place") as usize;
        let observed = &scenario["faults"][order];
        for key in ["name", "target", "parameters"] {
            assert_eq!(observed[key], planned[key], "{line}");
        }
        assert!(observed["injected_at_us"].is_u64(), "{observed}");
    }
}
