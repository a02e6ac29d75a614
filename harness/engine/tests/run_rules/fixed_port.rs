//! A subject that always listens on one port.

use crate::support::{Setup, TestResult, scenario, verdict};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::net::TcpListener;
use touchstone_core::{ExitCode, Verdict};
use touchstone_engine::error_chain;
use touchstone_engine::port::free_port;
use touchstone_engine::run::RunError;
use touchstone_engine::scenario::Scenario;

const STARTS: Scenario = scenario("START-1", |context| {
    async {
        let (_environment, instance) = context.start().await?;
        instance.http.get("/").await?;
        Ok(())
    }
    .boxed()
});
const STARTS_TWICE: Scenario = scenario("START-2", |context| {
    async {
        let (environment, instance) = context.start().await?;
        instance.kill();
        environment.start_instance(&BTreeMap::new()).await?;
        Ok(())
    }
    .boxed()
});
const NEEDS_TWO: Scenario = scenario("TWO-1", |context| {
    async {
        let (environment, _instance) = context.start().await?;
        environment.start_instance(&BTreeMap::new()).await?;
        Ok(())
    }
    .boxed()
});

fn setup(scenarios: &[Scenario], port: u16) -> Result<Setup, Box<dyn std::error::Error>> {
    let told = format!("port = {port}\n[subject.env]\nSTUB_PORT = \"{port}\"\n");
    Setup::with_manifest(scenarios, &told)
}

#[test]
fn its_scenarios_run_one_at_a_time_and_those_that_need_two_instances_are_skipped() -> TestResult {
    let mut setup = setup(&[STARTS, STARTS_TWICE, NEEDS_TWO], free_port()?)?;
    setup.plan.jobs = 4;
    let outcome = setup.run()?;
    assert_eq!(verdict(&outcome, "START-1"), &Verdict::Pass);
    assert_eq!(verdict(&outcome, "START-2"), &Verdict::Pass);
    match verdict(&outcome, "TWO-1") {
        Verdict::Skipped { reason, declared } => {
            assert!(*declared && reason.contains("`subject.port`"), "{reason}");
        }
        other => return Err(other.to_string().into()),
    }
    assert_eq!(outcome.record.jobs, 1);
    let warnings = outcome.record.warnings.join("\n");
    assert!(
        warnings.contains("one scenario at a time, not 4"),
        "{warnings}"
    );
    assert_eq!(outcome.exit_code, ExitCode::Holds);
    Ok(())
}

#[test]
fn whoever_else_listens_there_is_named_and_it_is_not_the_subjects_fault() -> TestResult {
    let somebody = TcpListener::bind("127.0.0.1:0")?;
    let port = somebody.local_addr()?.port();
    let error = setup(&[STARTS], port)?
        .run()
        .expect_err("the port is taken");
    let told = error_chain(&error);
    assert!(matches!(error, RunError::Environment(_)), "{told}");
    let own_pid = std::process::id().to_string();
    assert!(
        told.contains(&own_pid) && told.contains(&port.to_string()),
        "{told}"
    );
    Ok(())
}
