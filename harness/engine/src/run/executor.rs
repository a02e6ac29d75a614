//! Executes one attempt: environment up, scenario, judgement, teardown, whatever happens in between.

use super::events::EventSender;
use super::plan::{Attempt, Plan};
use crate::clock::Clock;
use crate::environment::{Environment, EnvironmentPlan};
use crate::kept::{KEPT_MAX, Keeper};
use crate::proxy::{StallLog, watch_own_thread};
use crate::scenario::{Context, Stop, lock};
use crate::scope::RunScope;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use touchstone_core::event::RunEventKind;
use touchstone_core::fault::FaultRecord;
use touchstone_core::record::AuditRecord;
use touchstone_core::redact::Redactor;
use touchstone_core::{Finding, ScenarioRecord, Verdict};

/// No scenario needs as long; one that takes longer hangs, and that is our fault.
const SCENARIO_DEADLINE: Duration = Duration::from_secs(180);

/// A stall of our own threads longer than this may have made the subject look slow: a quarter of the
/// tightest deadline.
const STALL_MAX: Duration = Duration::from_millis(250);

/// How long a start that is under way at an interruption may take to come to its end.
pub(super) const START_GRACE: Duration = Duration::from_secs(5);

/// How often the scenario's own thread looks whether it is on time.
const TICK: Duration = Duration::from_millis(10);

/// What a worker has for every attempt.
pub(super) struct Executor {
    pub(super) plan: Arc<Plan>,
    pub(super) scope: Arc<RunScope>,
    pub(super) cancelled: watch::Receiver<Option<String>>,
    /// Where the stores of a scenario that failed go, if they are to be kept.
    pub(super) keeper: Option<Arc<Keeper>>,
}

impl Executor {
    /// Runs one attempt to its end on this thread.
    pub(super) async fn execute(&self, attempt: &Attempt, events: EventSender) -> ScenarioRecord {
        let started_at = jiff::Timestamp::now();
        let began = Instant::now();
        let key = attempt.key.clone();
        events.send(|key| RunEventKind::ScenarioStarted { key });
        let context = Context::new(self.environment_plan(attempt), events);
        let stalls = StallLog::default();
        let ticker = tokio::spawn(watch_own_thread(stalls.clone(), TICK));
        let ended = self.run_guarded(attempt, &context).await;
        ticker.abort();
        let environment = take_environment(&context).await;
        let worst_stall = worst_stall(&context, &stalls, environment.as_deref());
        context.step("tear down");
        let faults = context.ledger.records();
        let excuse = excuse(&context, worst_stall, ended.is_err()).await;
        let audit = audited(environment.as_deref()).await;
        let (mut verdict, environment_failed) = self.judge(ended, &faults, excuse);
        let (logs, redactor) = match &environment {
            Some(environment) => {
                let folder = self.plan.report_dir.join("scenarios").join(key.to_string());
                let logs = keep_logs(environment, &folder, &self.plan.report_dir).await;
                if !self.kept(&verdict, environment, &context).await
                    && let Err(error) = environment.tear_down().await
                {
                    verdict = worse(verdict, &crate::error_chain(&error));
                }
                (logs, environment.redactor())
            }
            None => (Vec::new(), Redactor::default()),
        };
        let mut notes = std::mem::take(&mut *lock(&context.notes));
        notes.finish_step(context.clock().now_us() / 1000);
        ScenarioRecord {
            criterion: key.criterion.clone(),
            statement: attempt.scenario.criterion.statement.to_owned(),
            attempt: key.attempt,
            seed: attempt.seed,
            verdict: redact(verdict, &redactor),
            not_run: false,
            environment_failed,
            started_at,
            duration_ms: millis(began.elapsed()),
            steps: notes.steps,
            faults,
            deadlines: notes.deadlines,
            audit: audit.map(|audit| redact_audit(audit, &redactor)),
            observations: notes
                .observations
                .iter()
                .map(|text| redactor.redact(text))
                .collect(),
            worst_stall_ms: millis(worst_stall),
            logs,
            reproduce: self.plan.reproduce(attempt),
        }
    }

    /// Whether the stores of a failure were kept, as asked for. The subject and the proxies end all the same.
    async fn kept(&self, verdict: &Verdict, environment: &Environment, context: &Context) -> bool {
        let (Some(keeper), Verdict::Fail(_)) = (&self.keeper, verdict) else {
            return false;
        };
        let told = match environment.leave_stores(keeper).await {
            Ok(true) => {
                context.observe(format!(
                    "kept: both stores, with their data; see `touchstone env status --name {}`",
                    self.scope.run_id()
                ));
                return true;
            }
            Ok(false) => format!("not kept: the stores of {KEPT_MAX} others are"),
            Err(error) => format!("not kept: {}", crate::error_chain(&error)),
        };
        context.observe(told);
        false
    }

    fn environment_plan(&self, attempt: &Attempt) -> EnvironmentPlan {
        EnvironmentPlan {
            name: format!("{}-{}", attempt.key.criterion, attempt.key.attempt),
            scope: Arc::clone(&self.scope),
            provider: Arc::clone(&self.plan.provider),
            manifest: Arc::clone(&self.plan.manifest),
            extra_env: attempt.extra_env.clone(),
            seed: attempt.seed,
            clock: Clock::start(),
        }
    }

    /// The scenario, with a panic, a hang and an interruption turned into an unknown verdict.
    async fn run_guarded(&self, attempt: &Attempt, context: &Context) -> Result<(), Stop> {
        let mut cancelled = self.cancelled.clone();
        let scenario = AssertUnwindSafe((attempt.scenario.run)(context)).catch_unwind();
        tokio::select! {
            ended = tokio::time::timeout(SCENARIO_DEADLINE, scenario) => match ended {
                Ok(Ok(ended)) => ended,
                Ok(Err(panic)) => Err(Stop::unknown(format!("the scenario panicked: {}", text_of(&*panic)))),
                Err(_) => Err(Stop::unknown(format!("the scenario took longer than {} s", SCENARIO_DEADLINE.as_secs()))),
            },
            _ = cancelled.wait_for(Option::is_some) => Err(Stop::unknown("interrupted")),
        }
    }

    /// The rules that hold for every scenario, whatever it says itself.
    fn judge(
        &self,
        ended: Result<(), Stop>,
        faults: &[FaultRecord],
        excuse: Option<String>,
    ) -> (Verdict, bool) {
        let no_bite = faults.iter().find(|fault| fault.bite.is_none());
        let unbitten = |fault: &FaultRecord| {
            format!(
                "the fault `{}` on {} was not seen to bite",
                fault.name, fault.target
            )
        };
        match (ended, no_bite) {
            (Ok(()), Some(fault)) => (Verdict::unknown(unbitten(fault)), false),
            (Ok(()), None) => (self.pass_within_policy(), false),
            (Err(Stop::Proven(finding)), _) => (Verdict::Fail(finding), false),
            (Err(Stop::Fail(finding)), Some(fault)) => (doubtful(finding, &unbitten(fault)), false),
            (Err(Stop::Fail(finding)), None) => match excuse {
                Some(reason) => (doubtful(finding, &reason), false),
                None => (Verdict::Fail(finding), false),
            },
            (
                Err(Stop::Unknown {
                    reason,
                    environment_failed,
                }),
                _,
            ) => (Verdict::unknown(reason), environment_failed),
            (Err(Stop::Skip { reason, declared }), _) => {
                (Verdict::Skipped { reason, declared }, false)
            }
        }
    }

    /// A pass against deadlines that were loosened without a word is none.
    fn pass_within_policy(&self) -> Verdict {
        let manifest = &self.plan.manifest;
        let accepted = &manifest.policy.accept_looser;
        let looser = manifest.deadlines.loosened();
        match looser
            .iter()
            .find(|(name, ..)| !accepted.contains_key(*name))
        {
            Some((name, allowed_ms, default_ms)) => Verdict::fail(
                format!(
                    "`deadlines.{name}` of at most {default_ms} ms, or its reason in `policy.accept_looser`"
                ),
                format!("{allowed_ms} ms"),
            ),
            None => Verdict::Pass,
        }
    }
}

/// What the scenario has started; if that is still under way, as after an interruption, its end is
/// waited for. One that takes too long ends with its runtime.
async fn take_environment(context: &Context) -> Option<Arc<Environment>> {
    let slot = tokio::time::timeout(START_GRACE, context.environment.lock()).await;
    slot.ok()?.take()
}

/// A failure that may be our own doing is no accusation; it is told all the same.
fn doubtful(finding: Finding, reason: &str) -> Verdict {
    let said = format!(
        "it would have been a failure: expected {}; seen {}",
        finding.expected, finding.seen
    );
    let evidence = std::iter::once(said).chain(finding.evidence).collect();
    Verdict::Unknown {
        reason: reason.to_owned(),
        evidence,
    }
}

/// A teardown that failed leaves something behind, which a pass must not hide.
fn worse(verdict: Verdict, teardown_error: &str) -> Verdict {
    match verdict {
        Verdict::Pass => Verdict::unknown(format!(
            "it held, but the teardown failed: {teardown_error}"
        )),
        other => other,
    }
}

fn redact(verdict: Verdict, redactor: &Redactor) -> Verdict {
    let lines = |lines: Vec<String>| lines.iter().map(|line| redactor.redact(line)).collect();
    match verdict {
        Verdict::Fail(finding) => Verdict::Fail(Finding {
            expected: redactor.redact(&finding.expected),
            seen: redactor.redact(&finding.seen),
            evidence: lines(finding.evidence),
        }),
        Verdict::Unknown { reason, evidence } => Verdict::Unknown {
            reason: redactor.redact(&reason),
            evidence: lines(evidence),
        },
        other => other,
    }
}

/// What the subject sent. That it cannot be told changes no verdict.
async fn audited(environment: Option<&Environment>) -> Option<AuditRecord> {
    match environment?.audit().await {
        Ok(audit) => Some(audit),
        Err(error) => {
            tracing::warn!("no audit: {}", crate::error_chain(&error));
            None
        }
    }
}

/// Keys are patterns already; a password that is a part of one, or that a client gave as its name, goes here.
fn redact_audit(mut audit: AuditRecord, redactor: &Redactor) -> AuditRecord {
    let clean = |text: &mut String| *text = redactor.redact(text);
    for client in &mut audit.clients {
        let words = [&mut client.library, &mut client.version, &mut client.name];
        words.into_iter().flatten().for_each(clean);
    }
    audit.commands.iter_mut().for_each(|of| clean(&mut of.name));
    for repeated in &mut audit.repeated {
        clean(&mut repeated.pattern);
        clean(&mut repeated.operation);
    }
    let gaps = &mut audit.without_expiry;
    gaps.iter_mut().for_each(|gap| clean(&mut gap.pattern));
    if let Some(left) = &mut audit.left_without_expiry {
        let cleaned = left.iter().map(|(key, keys)| (redactor.redact(key), *keys));
        *left = cleaned.collect();
    }
    audit
}

/// What, other than the subject, may have caused a failure. Nobody asks the stores after this: they are torn down.
async fn excuse(context: &Context, worst_stall: Duration, has_failed: bool) -> Option<String> {
    let witness = lock(&context.witness).take();
    let starvation = std::mem::take(&mut *lock(&context.starvation));
    if has_failed {
        starvation.settle().await;
    }
    let measured_from = *lock(&context.measured_from);
    let from_us = measured_from.map_or(0, |at| context.clock().at_us(at));
    let stall_ms = worst_stall.as_millis();
    let own = || format!("our own threads stalled for {stall_ms} ms");
    let slow_store = || witness.as_ref()?.witness().slow_store(from_us);
    (worst_stall > STALL_MAX)
        .then(own)
        .or_else(|| starvation.excuse(from_us))
        .or_else(slow_store)
}

fn worst_stall(context: &Context, own: &StallLog, environment: Option<&Environment>) -> Duration {
    let Some(since) = *lock(&context.measured_from) else {
        return Duration::ZERO;
    };
    let of = |log: &StallLog| {
        log.worst_since(since)
            .map_or(Duration::ZERO, |stall| stall.lateness)
    };
    let of_probers = lock(&context.probers)
        .iter()
        .map(of)
        .max()
        .unwrap_or_default();
    let of_proxies = environment.map_or(Duration::ZERO, |environment| of(&environment.stalls()));
    of(own).max(of_probers).max(of_proxies)
}

/// Copies every log into the report folder, without secrets. Returns the paths relative to the run's.
pub(super) async fn keep_logs(
    environment: &Environment,
    folder: &Path,
    run_folder: &Path,
) -> Vec<String> {
    let redactor = environment.redactor();
    let mut texts: Vec<(String, String)> = Vec::new();
    for instance in environment.instances() {
        texts.push((
            format!("subject-{}.log", instance.wiring.index),
            instance.log.text(),
        ));
    }
    for kind in crate::store::StoreKind::ALL {
        if let Ok(text) = environment.store(kind).logs().await {
            texts.push((format!("{kind}.log"), text));
        }
    }
    let mut kept = Vec::new();
    for (name, text) in texts {
        let path = folder.join(&name);
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, redactor.redact(&text)));
        match written {
            Ok(()) => {
                let relative = path.strip_prefix(run_folder).unwrap_or(&path);
                kept.push(relative.display().to_string());
            }
            Err(error) => tracing::warn!("cannot keep {}: {error}", path.display()),
        }
    }
    kept
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
