//! What the property tests share: the reference backend on real stores, and how an end is told.
//!
//! They start the built program, as the gate does: `cargo build -p reference-backend` comes first.

#![allow(dead_code, reason = "each test program uses its part")]

use proptest::test_runner::{Config, FileFailurePersistence};
use std::path::Path;
use touchstone_core::Finding;
use touchstone_engine::run::Testbed;
use touchstone_engine::scenario::{Context, Stop};
use touchstone_scenarios::property::config_of_tests;

const MANIFEST: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../fixtures/subjects/reference.toml"
);

/// Runs a property on an environment of its own, without a defect of the backend or with one.
pub(crate) fn on_backend(
    name: &str,
    defect: Option<&str>,
    property: impl AsyncFnOnce(&Context) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let defect = defect.map(|defect| ("BACKEND_DEFECT".to_owned(), defect.to_owned()));
    runtime.block_on(async {
        let testbed = Testbed::new(name, Path::new(MANIFEST), defect.into_iter().collect());
        let testbed = testbed.expect("a testbed");
        let ended = property(testbed.context()).await;
        testbed.close().await.expect("the stores end");
        ended
    })
}

/// A search of `PROPTEST_CASES` cases, or a few, from `PROPTEST_RNG_SEED`, or any. It begins with the
/// counter-examples of the file and adds what it finds.
pub(crate) fn remembering(regressions: &'static str, usual_cases: u32) -> Config {
    Config {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        ..config_of_tests(usual_cases)
    }
}

/// The property held.
#[track_caller]
pub(crate) fn holds(ended: Result<(), Stop>) {
    match ended {
        Ok(()) => {}
        Err(Stop::Fail(finding)) => panic!("{}", told(&finding)),
        Err(other) => panic!("{other:?}"),
    }
}

/// The property did not hold; what was found.
#[track_caller]
pub(crate) fn found(ended: Result<(), Stop>) -> Finding {
    match ended {
        Err(Stop::Fail(finding)) => finding,
        Err(other) => panic!("nothing can be told: {other:?}"),
        Ok(()) => panic!("the defect was not found"),
    }
}

/// All of a finding.
pub(crate) fn told(finding: &Finding) -> String {
    let Finding {
        expected,
        seen,
        evidence,
    } = finding;
    format!(
        "expected {expected}\nseen     {seen}\n{}",
        evidence.join("\n")
    )
}
