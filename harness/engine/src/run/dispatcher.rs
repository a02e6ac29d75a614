//! The one owner of a run's state: starts the workers, takes their events in order, tells the sinks,
//! and makes the record.

mod record;

use super::cpu;
use super::events::{EventSender, stamp};
use super::executor::Executor;
use super::plan::{Attempt, Plan, RunError};
use super::preflight::{Preflight, preflight};
use super::worker::Worker;
use crate::clock::Clock;
use crate::environment::EnvironmentPlan;
use crate::kept::Keeper;
use crate::scope::RunScope;
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use touchstone_core::event::{EventSink, RunEvent, RunEventKind, ScenarioKey};
use touchstone_core::{ExitCode, RunRecord, ScenarioRecord, Verdict};

/// How often the dispatcher looks for an interruption while no event comes.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);

/// Why nothing new starts after a signal.
const INTERRUPTED: &str = "interrupted";

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The whole record.
    pub record: RunRecord,
    /// The exit code that follows from it.
    pub exit_code: ExitCode,
    /// Sinks that failed; the run went on without them.
    pub sink_errors: Vec<std::io::Error>,
}

/// Runs the plan to its end, or until `cancelled` holds a signal's name.
pub fn run(
    mut plan: Plan,
    sinks: Vec<Box<dyn EventSink>>,
    cancelled: watch::Receiver<Option<String>>,
) -> Result<Outcome, RunError> {
    let (jobs, one_at_a_time) = plan.jobs_allowed();
    plan.jobs = jobs;
    let with_docker = plan.provider.name() == "docker";
    let scope = Arc::new(RunScope::create(&plan.run_id, with_docker)?);
    let (sender, receiver) = channel();
    let mut dispatcher = Dispatcher::new(Arc::new(plan), scope, sinks, cancelled, receiver);
    dispatcher.notes.extend(one_at_a_time);
    let outcome = dispatcher.run(sender);
    if dispatcher.scope.is_kept() {
        return outcome;
    }
    let closed = runtime()?.block_on(dispatcher.plan.provider.close(dispatcher.scope.run_id()));
    if let Err(error) = closed {
        tracing::warn!("something of the run may be left, `touchstone sweep` finds it: {error}");
    }
    outcome
}

struct Dispatcher {
    plan: Arc<Plan>,
    scope: Arc<RunScope>,
    /// Takes the stores of scenarios that failed, if they are to be kept.
    keeper: Option<Arc<Keeper>>,
    sinks: Vec<Box<dyn EventSink>>,
    sink_errors: Vec<std::io::Error>,
    /// What a reader should know from the start.
    notes: Vec<String>,
    cancelled: watch::Receiver<Option<String>>,
    /// Set by an interruption or by `--fail-fast`; what runs goes on or is cancelled, nothing new starts.
    no_more: watch::Sender<Option<String>>,
    events: Receiver<RunEvent>,
    began: Instant,
    started_at: jiff::Timestamp,
    cpu_before_ms: u64,
    finished: BTreeMap<(String, u32), ScenarioRecord>,
    /// Whether a worker ended by a panic outside of a scenario, which is a bug of ours.
    has_panicked: bool,
}

impl Dispatcher {
    fn new(
        plan: Arc<Plan>,
        scope: Arc<RunScope>,
        sinks: Vec<Box<dyn EventSink>>,
        cancelled: watch::Receiver<Option<String>>,
        events: Receiver<RunEvent>,
    ) -> Self {
        let keeper = || Arc::new(Keeper::new(Arc::clone(&scope), plan.provider.name()));
        Self {
            keeper: plan.keep_on_fail.then(keeper),
            plan,
            scope,
            sinks,
            sink_errors: Vec::new(),
            notes: Vec::new(),
            cancelled,
            no_more: watch::Sender::new(None),
            events,
            began: Instant::now(),
            started_at: jiff::Timestamp::now(),
            cpu_before_ms: cpu::used_ms(),
            finished: BTreeMap::new(),
            has_panicked: false,
        }
    }

    fn run(&mut self, sender: Sender<RunEvent>) -> Result<Outcome, RunError> {
        let attempts = self.plan.attempts();
        self.tell(RunEventKind::RunStarted {
            run_id: self.plan.run_id.clone(),
            seed: self.plan.seed,
            profile: self.plan.profile,
            subject: self.plan.manifest.subject.name.clone(),
            provider: format!(
                "{} ({})",
                self.plan.provider.name(),
                self.plan.provider_reason
            ),
            planned: attempts.len(),
            jobs: self.plan.jobs,
        });
        let preflight = self.preflight(&sender)?;
        self.note_interruption();
        match &preflight.subject_broken {
            None => self.work(&attempts, sender)?,
            Some(finding) => {
                if let Some(first) = attempts.first() {
                    let mut record = self.not_run(first, Verdict::Fail(finding.clone()));
                    record.logs.clone_from(&preflight.logs);
                    self.take(record);
                }
            }
        }
        self.account_for_the_rest(&attempts, &preflight);
        Ok(self.finish(&attempts, preflight))
    }

    /// Every attempt that has no record gets one that says why.
    fn account_for_the_rest(&mut self, attempts: &[Attempt], preflight: &Preflight) {
        let skipped = |why: String| Verdict::Skipped {
            reason: format!("not run: {why}"),
            declared: false,
        };
        let verdict = match (&preflight.subject_broken, self.no_more.borrow().as_deref()) {
            (Some(_), _) => skipped(format!(
                "the subject does not start, see {}",
                first_id(attempts)
            )),
            (None, Some(why)) => skipped(why.to_owned()),
            (None, None) => Verdict::unknown("the harness's own worker panicked"),
        };
        for attempt in attempts {
            let key = (attempt.key.criterion.clone(), attempt.key.attempt);
            if !self.finished.contains_key(&key) {
                self.take(self.not_run(attempt, verdict.clone()));
            }
        }
    }

    fn preflight(&self, sender: &Sender<RunEvent>) -> Result<Preflight, RunError> {
        let key = ScenarioKey {
            criterion: "preflight".to_owned(),
            attempt: 1,
        };
        let plan = EnvironmentPlan {
            name: "preflight".to_owned(),
            scope: Arc::clone(&self.scope),
            provider: Arc::clone(&self.plan.provider),
            manifest: Arc::clone(&self.plan.manifest),
            extra_env: self.plan.extra_env.clone(),
            seed: self.plan.seed,
            clock: Clock::start(),
        };
        let events = EventSender::new(key, self.began, sender.clone());
        let preflight = preflight(plan, &self.plan.report_dir, events, self.cancelled.clone());
        let found = runtime()?.block_on(preflight);
        // What fails while we are being interrupted fails because of that.
        let is_interrupted = self.cancelled.borrow().is_some();
        found.or_else(|error| {
            if is_interrupted {
                Ok(Preflight::default())
            } else {
                Err(error)
            }
        })
    }

    /// Runs the attempts on the workers and takes their events until the last worker has ended.
    fn work(&mut self, attempts: &[Attempt], sender: Sender<RunEvent>) -> Result<(), RunError> {
        let mut queue: Vec<Attempt> = attempts.to_vec();
        queue.sort_by_key(|attempt| std::cmp::Reverse(attempt.scenario.expected));
        let queue = Arc::new(Mutex::new(VecDeque::from(queue)));
        let mut workers = Vec::new();
        for number in 0..self.plan.jobs {
            let worker = Worker {
                queue: Arc::clone(&queue),
                executor: Executor {
                    plan: Arc::clone(&self.plan),
                    scope: Arc::clone(&self.scope),
                    cancelled: self.cancelled.clone(),
                    keeper: self.keeper.clone(),
                },
                no_more: self.no_more.clone(),
                began: self.began,
                sender: sender.clone(),
            };
            let runtime = runtime()?;
            let thread = std::thread::Builder::new().name(format!("worker {number}"));
            workers.push(thread.spawn(move || runtime.block_on(worker.run()))?);
        }
        drop(sender);
        self.take_events();
        for worker in workers {
            self.has_panicked |= worker.join().is_err();
        }
        Ok(())
    }

    fn take_events(&mut self) {
        loop {
            match self.events.recv_timeout(INTERRUPT_POLL) {
                Ok(event) => self.handle(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.note_interruption(),
            }
            self.note_interruption();
        }
    }

    /// Looks for a signal; from the first one on nothing new starts.
    fn note_interruption(&mut self) {
        let signal = self.cancelled.borrow().clone();
        let is_noted = self.no_more.borrow().as_deref() == Some(INTERRUPTED);
        if let Some(signal) = signal.filter(|_| !is_noted) {
            self.no_more.send_replace(Some(INTERRUPTED.to_owned()));
            self.tell(RunEventKind::Interrupted { signal });
        }
    }

    fn handle(&mut self, event: RunEvent) {
        if let RunEventKind::ScenarioFinished { record } = &event.kind {
            self.note(record);
        }
        self.tell_event(&event);
    }

    /// An attempt that no worker has run.
    fn take(&mut self, record: ScenarioRecord) {
        self.note(&record);
        self.tell(RunEventKind::ScenarioFinished {
            record: Box::new(record),
        });
    }

    fn note(&mut self, record: &ScenarioRecord) {
        self.finished
            .insert((record.criterion.clone(), record.attempt), record.clone());
    }

    fn not_run(&self, attempt: &Attempt, verdict: Verdict) -> ScenarioRecord {
        ScenarioRecord {
            criterion: attempt.key.criterion.clone(),
            statement: attempt.scenario.criterion.statement.to_owned(),
            attempt: attempt.key.attempt,
            seed: attempt.seed,
            not_run: matches!(verdict, Verdict::Skipped { .. }),
            verdict,
            environment_failed: false,
            started_at: jiff::Timestamp::now(),
            duration_ms: 0,
            steps: Vec::new(),
            faults: Vec::new(),
            deadlines: Vec::new(),
            audit: None,
            observations: Vec::new(),
            worst_stall_ms: 0,
            logs: Vec::new(),
            reproduce: self.plan.reproduce(attempt),
        }
    }

    fn finish(&mut self, attempts: &[Attempt], preflight: Preflight) -> Outcome {
        let take = |attempt: &Attempt| {
            self.finished
                .remove(&(attempt.key.criterion.clone(), attempt.key.attempt))
        };
        let mut places: Vec<&Attempt> = attempts.iter().collect();
        places.sort_by_key(|attempt| attempt.place);
        let scenarios: Vec<ScenarioRecord> = places.into_iter().filter_map(take).collect();
        let record = self.record(scenarios, preflight);
        let own_bug = self.has_panicked.then_some(ExitCode::HarnessBug);
        let exit_code = ExitCode::most_severe(own_bug.into_iter().chain([record.exit_code()]));
        self.tell(RunEventKind::RunFinished {
            record: Box::new(record.clone()),
            exit_code,
        });
        Outcome {
            record,
            exit_code,
            sink_errors: std::mem::take(&mut self.sink_errors),
        }
    }

    fn tell(&mut self, kind: RunEventKind) {
        self.tell_event(&stamp(self.began, kind));
    }

    fn tell_event(&mut self, event: &RunEvent) {
        for sink in &mut self.sinks {
            let Err(error) = sink.on_event(event) else {
                continue;
            };
            // A closed pipe fails anew at each event: once is enough to know it.
            let is_known = |known: &std::io::Error| known.to_string() == error.to_string();
            if !self.sink_errors.iter().any(is_known) {
                self.sink_errors.push(error);
            }
        }
    }
}

fn first_id(attempts: &[Attempt]) -> String {
    attempts
        .first()
        .map_or_else(String::new, |attempt| attempt.key.to_string())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}
