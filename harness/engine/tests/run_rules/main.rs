//! The rules of a run, seen with scenarios made for it, real stores, and this test binary as the subject.

mod fixed_port;
mod support;

use futures::FutureExt;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use support::{Setup, TestResult, assert_nothing_left, scenario, verdict};
use tokio::sync::watch;
use touchstone_core::{EventSink, ExitCode, Profile, RunEvent, RunEventKind, Verdict};
use touchstone_engine::proxy::Reject;
use touchstone_engine::run::{Planned, RunError, run};
use touchstone_engine::scenario::{Scenario, Stop};
use touchstone_engine::store::tools::Tools;
use touchstone_engine::store::{Provider, StoreKind};
use touchstone_engine::subject::manifest::OperationName;
use touchstone_engine::subject::{Manifest, SubjectError};

/// Not a test: the subject. It answers every request with the value of `DEFECT`.
#[test]
#[ignore = "started by the other tests as their subject"]
#[expect(clippy::print_stdout, reason = "its log is looked for by a test")]
fn the_subject() {
    let Ok(port) = std::env::var("STUB_PORT") else {
        return;
    };
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("the port is free");
    let body = std::env::var("DEFECT").unwrap_or_default();
    println!("the stub listens");
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length:";
        let _ = write!(stream, "{head} {length}\r\n\r\n{body}");
    }
}

const PASSES: Scenario = scenario("PASS-1", |_| async { Ok(()) }.boxed());
const PASSES_TOO: Scenario = scenario("PASS-2", |_| async { Ok(()) }.boxed());
const FAILS: Scenario = scenario("FAIL-1", |_| {
    async { Err(Stop::fail("water", "sand")) }.boxed()
});
const PANICS: Scenario = scenario("PANIC-1", |context| {
    async {
        let (_environment, _instance) = context.start().await?;
        panic!("on purpose")
    }
    .boxed()
});
const HANGS: Scenario = scenario("HANG-1", |context| {
    async {
        let (_environment, _instance) = context.start().await?;
        std::future::pending().await
    }
    .boxed()
});
/// Nothing goes through the proxy, so that the fault has nothing to bite.
const NO_BITE: Scenario = scenario("BITE-1", |context| {
    async {
        let (environment, instance) = context.start().await?;
        let fault = environment.network_fault(&instance.wiring, StoreKind::Redis, Reject);
        Ok(fault.await?.heal().await?)
    }
    .boxed()
});
const NEEDS_KV: Scenario = scenario("SKIP-1", |context| {
    async { context.require(&[OperationName::KvSet]) }.boxed()
});
const NO_ENVIRONMENT: Scenario = scenario("ENV-1", |_| {
    async {
        Err(Stop::Unknown {
            reason: "no room".to_owned(),
            environment_failed: true,
        })
    }
    .boxed()
});
/// Passes only with the defect called `second`.
const SEES_DEFECT: Scenario = scenario("DEFECT-1", |context| {
    async {
        let (_environment, instance) = context.start().await?;
        let answer = instance.http.get("/").await?.describe();
        match answer.contains("second") {
            true => Ok(()),
            false => Err(Stop::fail("second", answer)),
        }
    }
    .boxed()
});

#[test]
fn a_scenario_that_panics_is_unknown_and_the_run_goes_on() -> TestResult {
    let outcome = Setup::new(&[PANICS, PASSES], "")?.run()?;
    let seen = verdict(&outcome, "PANIC-1").to_string();
    assert!(seen.contains("panicked: on purpose"), "{seen}");
    assert_eq!(verdict(&outcome, "PASS-1"), &Verdict::Pass);
    assert_eq!(outcome.exit_code, ExitCode::Unknown);
    Ok(())
}

#[test]
fn a_fault_that_did_not_bite_makes_a_pass_unknown() -> TestResult {
    let outcome = Setup::new(&[NO_BITE], "")?.run()?;
    let seen = verdict(&outcome, "BITE-1").to_string();
    assert!(
        seen.starts_with("unknown") && seen.contains("not seen to bite"),
        "{seen}"
    );
    assert_eq!(outcome.exit_code, ExitCode::Unknown);
    Ok(())
}

#[test]
fn a_loosened_deadline_fails_every_profile_unless_the_policy_names_it() -> TestResult {
    const LOOSE: &str = "[deadlines]\nrecover_ms = 60000\n";
    const ACCEPTED: &str =
        "[deadlines]\nrecover_ms = 60000\n[policy.accept_looser]\nrecover_ms = \"a slow store\"\n";
    for (manifest, profile, expected) in [
        (LOOSE, Profile::Merge, ExitCode::CriterionFailed),
        (LOOSE, Profile::Release, ExitCode::CriterionFailed),
        (ACCEPTED, Profile::Merge, ExitCode::Holds),
    ] {
        let mut setup = Setup::new(&[PASSES], manifest)?;
        setup.plan.profile = profile;
        let outcome = setup.run()?;
        let seen = verdict(&outcome, "PASS-1");
        assert_eq!(outcome.exit_code, expected, "{manifest} {profile}: {seen}");
        let told = outcome.record.warnings.join("\n");
        assert!(told.contains("recover_ms"), "the record tells: {told}");
    }
    Ok(())
}

#[test]
fn a_skip_fails_every_profile_unless_the_manifest_declares_it() -> TestResult {
    let declared = "[absent]\nkv_set = \"it stores nothing\"\n";
    for (manifest, profile, expected) in [
        ("", Profile::Merge, ExitCode::CriterionFailed),
        ("", Profile::Release, ExitCode::CriterionFailed),
        (declared, Profile::Merge, ExitCode::Holds),
    ] {
        let mut setup = Setup::new(&[NEEDS_KV, PASSES], manifest)?;
        setup.plan.profile = profile;
        let outcome = setup.run()?;
        let seen = verdict(&outcome, "SKIP-1");
        assert!(matches!(seen, Verdict::Skipped { .. }), "{seen}");
        assert_eq!(outcome.exit_code, expected, "{manifest} {profile}: {seen}");
    }
    let nothing_else = Setup::new(&[NEEDS_KV], declared)?.run()?;
    assert_eq!(
        nothing_else.exit_code,
        ExitCode::Usage,
        "it looked at nothing"
    );
    Ok(())
}

#[test]
fn after_a_failure_nothing_new_starts_with_fail_fast() -> TestResult {
    let mut setup = Setup::new(&[FAILS, PASSES, PASSES_TOO], "")?;
    (setup.plan.fail_fast, setup.plan.jobs) = (true, 1);
    let outcome = setup.run()?;
    assert!(matches!(verdict(&outcome, "FAIL-1"), Verdict::Fail(_)));
    for id in ["PASS-1", "PASS-2"] {
        let seen = verdict(&outcome, id).to_string();
        assert!(
            seen.contains("not run: --fail-fast after FAIL-1"),
            "{id}: {seen}"
        );
    }
    assert_eq!(outcome.exit_code, ExitCode::CriterionFailed);
    Ok(())
}

#[test]
fn repeats_that_disagree_are_flaky_and_do_not_pass() -> TestResult {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    const FLAKY: Scenario = scenario("FLAKY-1", |_| {
        async {
            match RUNS.fetch_add(1, Ordering::SeqCst) {
                1 => Err(Stop::fail("the same as before", "another")),
                _ => Ok(()),
            }
        }
        .boxed()
    });
    let mut setup = Setup::new(&[FLAKY, PASSES], "")?;
    (setup.plan.repeat, setup.plan.jobs) = (3, 1);
    let outcome = setup.run()?;
    assert_eq!(outcome.record.scenarios.len(), 6);
    assert_eq!(outcome.record.flaky(), ["FLAKY-1"]);
    assert_eq!(outcome.exit_code, ExitCode::CriterionFailed);
    Ok(())
}

#[test]
fn an_environment_that_fails_is_no_failure_of_the_subject() -> TestResult {
    let outcome = Setup::new(&[NO_ENVIRONMENT, PASSES], "")?.run()?;
    assert_eq!(outcome.exit_code, ExitCode::Environment);

    let mut setup = Setup::new(&[PASSES], "")?;
    setup.plan.provider = Arc::new(Provider::Process(Tools {
        redis_server: "/bin/false".into(),
        ..Tools::find()?
    }));
    let error = setup.run().err().ok_or("it ran without Redis")?;
    let told = touchstone_engine::error_chain(&error);
    assert!(
        matches!(error, RunError::Environment(_)) && told.contains("redis"),
        "{told}"
    );
    Ok(())
}

#[test]
fn a_subject_that_does_not_start_is_told_once() -> TestResult {
    let mut setup = Setup::new(&[PASSES, PASSES_TOO], "")?;
    let text = "[subject]\nname = \"dead\"\ncommand = [\"sh\", \"-c\", \"echo no brain >&2; exit 7\"]\n[subject.env]\nPORT = \"{http.port}\"\n";
    let path = setup.plan.manifest.path.clone();
    std::fs::write(&path, text)?;
    setup.plan.manifest = Arc::new(Manifest::load(&path)?);
    let report_dir = setup.plan.report_dir.clone();
    let (_sender, never) = watch::channel(None);
    let outcome = run(setup.plan.clone(), Vec::new(), never)?;
    let Verdict::Fail(finding) = verdict(&outcome, "PASS-1") else {
        return Err(verdict(&outcome, "PASS-1").to_string().into());
    };
    assert!(finding.seen.contains("exit code 7"), "{finding:?}");
    assert_eq!(finding.evidence, ["log: no brain"]);
    let second = verdict(&outcome, "PASS-2").to_string();
    assert!(second.contains("see PASS-1"), "{second}");
    let logs = &outcome.record.scenarios[0].logs;
    let kept = std::fs::read_to_string(report_dir.join(&logs[0]))?;
    assert_eq!(kept, "no brain\n", "{logs:?}");
    assert_eq!(outcome.exit_code, ExitCode::CriterionFailed);
    Ok(())
}

#[test]
fn a_planned_scenario_has_its_own_environment_and_its_repeat_command_names_it() -> TestResult {
    let mut setup = Setup::new(&[], "")?;
    setup.plan.extra_env = BTreeMap::from([("API_TOKEN".to_owned(), "hunter2".to_owned())]);
    let with = |defect: &str| Planned {
        scenario: SEES_DEFECT,
        extra_env: BTreeMap::from([("DEFECT".to_owned(), defect.to_owned())]),
    };
    setup.plan.scenarios = vec![with("first"), with("the second")];
    let outcome = setup.run()?;
    let [first, second] = &outcome.record.scenarios[..] else {
        return Err("two attempts were planned".into());
    };
    assert!(
        matches!(first.verdict, Verdict::Fail(_)),
        "{}",
        first.verdict
    );
    assert_eq!(second.verdict, Verdict::Pass);
    assert_eq!((first.attempt, second.attempt), (1, 2));
    let repeat = &second.reproduce;
    assert!(repeat.contains("--env 'DEFECT=the second'"), "{repeat}");
    assert!(
        repeat.contains("--env API_TOKEN=\"$API_TOKEN\""),
        "{repeat}"
    );
    assert_eq!(
        outcome.record.subject.extra_environment["API_TOKEN"],
        "[redacted]"
    );
    Ok(())
}

/// Asks the run to stop as soon as a scenario has started its subject.
struct StopAtStep(watch::Sender<Option<String>>);

impl EventSink for StopAtStep {
    fn on_event(&mut self, event: &RunEvent) -> std::io::Result<()> {
        if matches!(&event.kind, RunEventKind::Step { text, .. } if text == "start the subject") {
            self.0.send_replace(Some("SIGTEST".to_owned()));
        }
        Ok(())
    }
}

#[test]
fn an_interrupted_run_tears_down_at_once_and_its_record_says_so() -> TestResult {
    let mut setup = Setup::new(&[HANGS, PASSES, PASSES_TOO], "")?;
    setup.plan.jobs = 1;
    let (sender, cancelled) = watch::channel(None);
    let began = Instant::now();
    let outcome = run(
        setup.plan.clone(),
        vec![Box::new(StopAtStep(sender))],
        cancelled,
    )?;
    assert_nothing_left(&setup.plan.run_id);
    assert!(began.elapsed() < Duration::from_secs(30), "it waited");
    assert!(outcome.record.interrupted);
    assert_eq!(outcome.record.scenarios.len(), 3);
    let seen = verdict(&outcome, "HANG-1").to_string();
    assert!(seen.contains("interrupted"), "{seen}");
    assert_eq!(outcome.exit_code, ExitCode::Interrupted);
    Ok(())
}

#[test]
fn a_sink_that_fails_is_told_of_once_and_stops_nothing() -> TestResult {
    struct Broken;
    impl EventSink for Broken {
        fn on_event(&mut self, _event: &RunEvent) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    let mut setup = Setup::new(&[PASSES], "")?;
    setup.sinks.push(Box::new(Broken));
    let outcome = setup.run()?;
    assert_eq!(outcome.exit_code, ExitCode::Holds);
    assert_eq!(outcome.sink_errors.len(), 1);
    Ok(())
}

#[test]
fn a_subject_that_is_never_ready_is_the_subjects_fault() {
    let error = SubjectError::Ended {
        exit: touchstone_engine::subject::ExitSeen {
            code: Some(1),
            signal: None,
        },
        log_tail: String::new(),
    };
    assert!(error.is_of_subject());
    assert_eq!(error.finding().evidence, ["its log is empty"]);
}
