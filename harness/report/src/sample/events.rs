//! The events of the run that led to a record.

use jiff::SignedDuration;
use touchstone_core::event::{RunEvent, RunEventKind, ScenarioKey};
use touchstone_core::fault::FaultRecord;
use touchstone_core::{RunRecord, ScenarioRecord};

/// An event and when it happened, in microseconds since the run began.
type Timed = (u64, RunEventKind);

/// The events of the run that led to a record, in order.
pub fn events(record: &RunRecord) -> Vec<RunEvent> {
    let started = RunEventKind::RunStarted {
        run_id: record.run_id.clone(),
        seed: record.seed,
        profile: record.profile,
        subject: record.subject.name.clone(),
        provider: format!("{}: {}", record.provider.kind, record.provider.reason),
        planned: record.scenarios.len(),
        jobs: record.jobs,
    };
    let finished = RunEventKind::RunFinished {
        record: Box::new(record.clone()),
        exit_code: record.exit_code(),
    };
    let scenarios = record.scenarios.iter();
    let mut events: Vec<Timed> = scenarios
        .flat_map(|scenario| of_scenario(record, scenario))
        .collect();
    events.sort_by_key(|(at_us, _)| *at_us);
    events.insert(0, (0, started));
    events.push((record.wall_ms * 1_000, finished));
    let events = events.into_iter().map(|(elapsed_us, kind)| RunEvent {
        at: record.started_at + SignedDuration::from_micros(elapsed_us as i64),
        elapsed_us,
        kind,
    });
    events.collect()
}

fn of_scenario(record: &RunRecord, scenario: &ScenarioRecord) -> Vec<Timed> {
    let since_start = scenario.started_at.duration_since(record.started_at);
    let begin_us = since_start.as_micros() as u64;
    let key = ScenarioKey {
        criterion: scenario.criterion.clone(),
        attempt: scenario.attempt,
    };
    let steps = scenario.steps.iter().map(|step| {
        let (key, text) = (key.clone(), step.text.clone());
        (step.at_ms * 1_000, RunEventKind::Step { key, text })
    });
    let faults = scenario.faults.iter().flat_map(|f| of_fault(&key, f));
    let finished = RunEventKind::ScenarioFinished {
        record: Box::new(scenario.clone()),
    };
    let started = RunEventKind::ScenarioStarted { key: key.clone() };
    std::iter::once((0, started))
        .chain(steps)
        .chain(faults)
        .chain([(scenario.duration_ms * 1_000, finished)])
        .map(|(at_us, kind)| (begin_us + at_us, kind))
        .collect()
}

fn of_fault(key: &ScenarioKey, fault: &FaultRecord) -> Vec<Timed> {
    // Known when it begins: neither its end nor what it will bite.
    let injected = RunEventKind::FaultInjected {
        key: key.clone(),
        fault: FaultRecord {
            healed_at_us: None,
            bite: None,
            ..fault.clone()
        },
    };
    let healed = fault.healed_at_us.map(|at_us| {
        let (key, fault) = (key.clone(), fault.clone());
        (at_us, RunEventKind::FaultHealed { key, fault })
    });
    let injected = (fault.injected_at_us, injected);
    std::iter::once(injected).chain(healed).collect()
}
