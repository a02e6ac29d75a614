//! One record with everything in it that a report has to show. Every format's snapshot is taken of
//! it, and `cargo run -p touchstone-report --example show_sample` shows it.

mod audit;
mod events;

pub use events::events;

use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use touchstone_core::fault::FaultRecord;
use touchstone_core::record::{
    BoundRecord, DeadlineRecord, MachineRecord, ProviderRecord, RunRecord, SCHEMA_VERSION,
    ScenarioRecord, StepRecord, SubjectRecord,
};
use touchstone_core::{Finding, Profile, Seed, Verdict};

/// A run with each verdict and each reason for it.
pub fn record() -> RunRecord {
    let scenarios = scenarios();
    let audits = scenarios
        .iter()
        .filter_map(|scenario| scenario.audit.as_ref());
    RunRecord {
        audit: Some(touchstone_core::audit::total(audits)),
        schema_version: SCHEMA_VERSION,
        run_id: "20260314-092653-c0ffee".to_owned(),
        started_at: started_at(),
        wall_ms: 6_694,
        seed: Seed(0xc0ffee),
        profile: Profile::Merge,
        jobs: 4,
        provider: ProviderRecord {
            kind: "process".to_owned(),
            reason: "no Docker daemon answers at unix:///var/run/docker.sock".to_owned(),
        },
        subject: SubjectRecord {
            name: "reference".to_owned(),
            manifest: "fixtures/subjects/reference.toml".to_owned(),
            extra_environment: map(&[("REFERENCE_DEFECT", "health-hangs")]),
        },
        versions: map(&[
            ("kernel", "6.1.0-18-amd64"),
            ("postgres", "15.6"),
            ("redis", "7.0.15"),
            ("touchstone", "0.1.0"),
        ]),
        machine: MachineRecord {
            system: "Debian GNU/Linux 12".to_owned(),
            processor: "AMD EPYC 7B13".to_owned(),
            cores: 2,
            memory_mib: 7_953,
        },
        scenarios,
        warnings: vec!["the log of postgres was cut at 10 MiB (RECON-1)".to_owned()],
        interrupted: false,
        bound: BoundRecord {
            longest_scenario_ms: 6_208,
            cpu_ms: 11_840,
            bound_ms: 6_208,
        },
    }
}

/// A record whose every foreign text tries to break out of the format that shows it.
pub fn hostile() -> RunRecord {
    let text = "\u{1b}[2J\u{1b}[31mred\u{7}\u{9b}31m|`</summary><script>alert(1)</script>]]>&amp;\
                \r\n| x | y |\n```\n# $x$ @all \u{202e}\u{fffe}\u{0}";
    let mut record = record();
    record.run_id = text.to_owned();
    record.warnings = vec![text.to_owned()];
    record.provider.reason = text.to_owned();
    record.subject.name = text.to_owned();
    record.versions = map(&[(text, text)]);
    record.audit = Some(audit::of_text(text));
    record.scenarios.truncate(3);
    for scenario in &mut record.scenarios {
        scenario.criterion = format!("{}-{text}", scenario.criterion);
        scenario.statement = text.to_owned();
        scenario.observations = vec![text.to_owned()];
        scenario.logs = vec![text.to_owned()];
        scenario.reproduce = text.to_owned();
        scenario.faults = vec![fault(text, text, (0, None), Some(text))];
        scenario.steps = vec![step(0, 10, text)];
        scenario.deadlines = vec![deadline(text, 1, None, Some(1))];
    }
    let evidence = vec![text.to_owned(), text.to_owned()];
    record.scenarios[0].verdict = Verdict::Fail(Finding {
        expected: text.to_owned(),
        seen: text.to_owned(),
        evidence: evidence.clone(),
    });
    record.scenarios[1].verdict = Verdict::Unknown {
        reason: text.to_owned(),
        evidence,
    };
    record.scenarios[2].verdict = Verdict::Skipped {
        reason: text.to_owned(),
        declared: true,
    };
    record
}

fn scenarios() -> Vec<ScenarioRecord> {
    vec![
        pass(),
        fail_with_evidence(),
        slow_pass_with_loosened_deadline(),
        unknown_environment(),
        unknown_fault_without_bite(),
        skipped_as_declared(),
        skipped_undeclared(),
        flaky_attempt(1, 900, Verdict::Pass),
        flaky_attempt(2, 2_300, stale_read()),
        flaky_attempt(3, 3_800, Verdict::Pass),
    ]
}

fn pass() -> ScenarioRecord {
    ScenarioRecord {
        steps: vec![
            step(0, 310, "start stores and subject"),
            step(310, 102, "read /health"),
        ],
        observations: vec!["200 ok, redis connected, postgres connected after 2 ms".to_owned()],
        audit: Some(audit::healthy()),
        ..scenario(
            "HLTH-1",
            "Both stores up: /health answers 200, `status: ok`, both services `connected`",
            (0, 412),
            Verdict::Pass,
        )
    }
}

fn fail_with_evidence() -> ScenarioRecord {
    let finding = Finding::new(
        "503 degraded, redis disconnected, postgres connected, within 1.00 s of the stop",
        "no answer at all: 38 of 38 probes after the stop timed out",
    )
    .with_evidence("at 398 ms: 200 ok, redis connected, postgres connected (after 1 ms)")
    .with_evidence("at 448 ms: no answer (after 1000 ms)")
    .with_evidence("at 498 ms: no answer (after 1000 ms)")
    .with_evidence("subject log: ERROR redis: Connection refused (os error 111)\n  retry in 50 ms");
    ScenarioRecord {
        steps: vec![
            step(0, 322, "start stores and subject"),
            step(322, 90, "steady state holds"),
            step(412, 2_310, "probe through the outage"),
            step(2_722, 140, "tear down"),
        ],
        faults: vec![fault(
            "stop",
            "redis",
            (412_000, Some(2_722_000)),
            Some("port 41873 refused 3 connections"),
        )],
        deadlines: vec![deadline(
            "degraded is seen after the stop",
            1_000,
            None,
            None,
        )],
        logs: vec![
            "HLTH-2/subject.log".to_owned(),
            "HLTH-2/redis.log".to_owned(),
        ],
        ..scenario(
            "HLTH-2",
            "Redis stopped: 503, `degraded`, redis `disconnected`, postgres still `connected`, \
             first seen 1 s or less after the stop",
            (4, 2_862),
            Verdict::Fail(finding),
        )
    }
}

fn slow_pass_with_loosened_deadline() -> ScenarioRecord {
    ScenarioRecord {
        steps: vec![
            step(0, 335, "start stores and subject"),
            step(335, 1_020, "hold the outage until the backoff has grown"),
            step(1_355, 4_690, "wait for `Redis connection restored`"),
            step(6_045, 163, "tear down"),
        ],
        faults: vec![fault(
            "stop",
            "redis",
            (335_000, Some(1_355_000)),
            Some("port 40211 refused 6 connections"),
        )],
        deadlines: vec![deadline(
            "restored after the start",
            8_000,
            Some(4_690),
            Some(6_000),
        )],
        ..scenario(
            "RECON-1",
            "Redis stopped, then started: the service reconnects by itself within one backoff cap",
            (420, 6_208),
            Verdict::Pass,
        )
    }
}

fn unknown_environment() -> ScenarioRecord {
    ScenarioRecord {
        not_run: false,
        environment_failed: true,
        steps: vec![step(0, 5_004, "start stores and subject")],
        logs: vec!["CONN-3/postgres.log".to_owned()],
        ..scenario(
            "CONN-3",
            "Redis unreachable at start: exit code 1, one error log, in 5 s or less",
            (8, 5_004),
            Verdict::Unknown {
                reason: "postgres was not ready within 5 s".to_owned(),
                evidence: vec![
                    "last seen: FATAL: could not create lock file: No space left on device"
                        .to_owned(),
                ],
            },
        )
    }
}

fn unknown_fault_without_bite() -> ScenarioRecord {
    ScenarioRecord {
        steps: vec![
            step(0, 300, "start stores and subject"),
            step(300, 950, "freeze"),
        ],
        faults: vec![
            fault("freeze", "redis", (300_000, Some(800_000)), None),
            fault(
                "latency",
                "proxy redis of instance 0",
                (310_000, None),
                Some("71 packets held"),
            ),
        ],
        ..scenario(
            "HLTH-5",
            "Redis frozen: every probe answers 503 within 1 s; none hangs",
            (2_870, 1_250),
            Verdict::Unknown {
                reason: "the fault `freeze redis` was not seen to bite".to_owned(),
                evidence: vec!["PING was answered in 0.3 ms while it was in force".to_owned()],
            },
        )
    }
}

fn skipped_as_declared() -> ScenarioRecord {
    let reason = "no rate limiter, by decision of the team".to_owned();
    let verdict = Verdict::Skipped {
        reason,
        declared: true,
    };
    let statement = "100 requests per 60 s per user and endpoint; the 101st gets 429";
    scenario("RATE-1", statement, (2_862, 0), verdict)
}

fn skipped_undeclared() -> ScenarioRecord {
    let reason = "the manifest maps no operation `delete`".to_owned();
    let verdict = Verdict::Skipped {
        reason,
        declared: false,
    };
    let statement = "`DEL` answers the count; `EXISTS` 1 or 0 as a number";
    scenario("KV-6", statement, (2_862, 0), verdict)
}

fn flaky_attempt(attempt: u32, begin_ms: u64, verdict: Verdict) -> ScenarioRecord {
    let statement = "Update, then read: never the old value once the update was acknowledged";
    ScenarioRecord {
        attempt,
        steps: vec![
            step(0, 290, "start stores and subject"),
            step(290, 1_010, "3,000 rounds of update and read"),
        ],
        audit: Some(audit::busy()),
        ..scenario("CACHE-3", statement, (begin_ms, 1_300), verdict)
    }
}

fn stale_read() -> Verdict {
    let finding = Finding::new(
        "the acknowledged value or a newer one",
        "the old value in 14 of 3,000 rounds",
    );
    Verdict::Fail(
        finding.with_evidence("round 211: read v210 at 402 ms, v211 acknowledged at 399 ms"),
    )
}

fn scenario(
    criterion: &str,
    statement: &str,
    (begin_ms, duration_ms): (u64, u64),
    verdict: Verdict,
) -> ScenarioRecord {
    ScenarioRecord {
        criterion: criterion.to_owned(),
        statement: statement.to_owned(),
        attempt: 1,
        seed: Seed(0xc0ffee).derive(criterion),
        verdict,
        not_run: false,
        environment_failed: false,
        started_at: started_at() + SignedDuration::from_millis(begin_ms as i64),
        duration_ms,
        steps: Vec::new(),
        faults: Vec::new(),
        deadlines: Vec::new(),
        audit: None,
        observations: Vec::new(),
        worst_stall_ms: 3,
        logs: Vec::new(),
        reproduce: format!(
            "touchstone check {criterion} --subject fixtures/subjects/reference.toml --provider \
             process --seed 0xc0ffee"
        ),
    }
}

fn step(at_ms: u64, took_ms: u64, text: &str) -> StepRecord {
    let text = text.to_owned();
    StepRecord {
        text,
        at_ms,
        took_ms,
    }
}

fn fault(
    name: &str,
    target: &str,
    in_force_us: (u64, Option<u64>),
    bite: Option<&str>,
) -> FaultRecord {
    FaultRecord {
        name: name.to_owned(),
        target: target.to_owned(),
        parameters: match name {
            "latency" => map(&[("delay_ms", "200"), ("jitter_ms", "20")]),
            _ => BTreeMap::new(),
        },
        injected_at_us: in_force_us.0,
        healed_at_us: in_force_us.1,
        bite: bite.map(str::to_owned),
    }
}

fn deadline(
    name: &str,
    allowed_ms: u64,
    seen_ms: Option<u64>,
    loosened_from_ms: Option<u64>,
) -> DeadlineRecord {
    DeadlineRecord {
        name: name.to_owned(),
        allowed_ms,
        seen_ms,
        loosened_from_ms,
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn started_at() -> Timestamp {
    // 2026-03-14T09:26:53Z; a constant, so that snapshots do not change.
    Timestamp::constant(1_773_480_413, 0)
}
