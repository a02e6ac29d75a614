//! What a scenario is, and what it has in its hands while it runs.

mod stop;

pub use stop::{OrFail, Stop, demand, expect};

use crate::clock::Clock;
use crate::environment::{Environment, EnvironmentError, EnvironmentPlan, Topology};
use crate::fault::Ledger;
use crate::instance::Instance;
use crate::prober::Prober;
use crate::proxy::StallLog;
use crate::run::EventSender;
use crate::starvation::StarvationMonitor;
use crate::store::StoreKind;
use crate::subject::CallError;
use crate::subject::health::Watched;
use crate::subject::manifest::{Deadlines, HealthSection, Manifest, OperationName};
use crate::witness::{StoreWitness, Witness};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use touchstone_core::event::RunEventKind;
use touchstone_core::record::{DeadlineRecord, StepRecord};
use touchstone_core::{Criterion, Seed};

/// The code that checks one criterion.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// What it checks.
    pub criterion: Criterion,
    /// Roughly how long it takes with production timeouts. The longest are started first, so that the
    /// run does not end by waiting for one of them alone.
    pub expected: Duration,
    /// Checks it. `Ok` means that every expectation held.
    pub run: for<'a> fn(&'a Context) -> BoxFuture<'a, Result<(), Stop>>,
}

/// What a scenario has in its hands. All methods take `&self`, so that futures of one scenario can
/// share it.
#[derive(Debug)]
pub struct Context {
    pub(crate) plan: EnvironmentPlan,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) events: EventSender,
    pub(crate) notes: Mutex<Notes>,
    /// Locked as long as the environment starts, so that a teardown can wait for it.
    pub(crate) environment: Arc<tokio::sync::Mutex<Option<Arc<Environment>>>>,
    /// From when on stalls of our own threads and slow stores count: starting stores may block them.
    pub(crate) measured_from: Mutex<Option<Instant>>,
    /// The stall monitors of the probers' threads.
    pub(crate) probers: Mutex<Vec<StallLog>>,
    /// Asks the stores whether they answer at all, from their start on.
    pub(crate) witness: Mutex<Option<StoreWitness>>,
    /// Looks whether stores and subject get a processor, from the stores' start on.
    pub(crate) starvation: Mutex<StarvationMonitor>,
}

/// What the scenario tells of itself.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) steps: Vec<StepRecord>,
    pub(crate) observations: Vec<String>,
    pub(crate) deadlines: Vec<DeadlineRecord>,
}

impl Context {
    pub(crate) fn new(plan: EnvironmentPlan, events: EventSender) -> Self {
        let ledger = Arc::new(Ledger::new(plan.clock, events.clone()));
        let (notes, environment, measured_from, probers) = Default::default();
        Self {
            plan,
            ledger,
            events,
            notes,
            environment,
            measured_from,
            probers,
            witness: Mutex::default(),
            starvation: Mutex::default(),
        }
    }

    /// The scenario's clock.
    pub fn clock(&self) -> Clock {
        self.plan.clock
    }

    /// The subject's manifest.
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.plan.manifest
    }

    /// What every random choice of the scenario follows from.
    pub fn seed(&self) -> Seed {
        self.plan.seed
    }

    /// Starts both stores. Call it once; the executor tears down whatever it returned.
    ///
    /// In a task of its own: an interruption drops the scenario, and a start that is dropped in the
    /// middle would leave the container that the engine goes on to create.
    pub async fn stores(&self) -> Result<Arc<Environment>, Stop> {
        self.stores_like(Topology::Plain).await
    }

    /// The same with stores of another kind.
    pub async fn stores_like(&self, topology: Topology) -> Result<Arc<Environment>, Stop> {
        self.step("start the stores");
        let mut slot = Arc::clone(&self.environment).lock_owned().await;
        let start = Environment::start(self.plan.clone(), topology, Arc::clone(&self.ledger));
        let task = tokio::spawn(async move {
            let environment = Arc::new(start.await?);
            *slot = Some(Arc::clone(&environment));
            Ok::<_, EnvironmentError>(environment)
        });
        let environment = match task.await {
            Ok(started) => started?,
            Err(error) => return Err(Stop::unknown(format!("the start panicked: {error}"))),
        };
        self.measure_from_now();
        let stores = StoreKind::ALL.map(|kind| Arc::clone(environment.store(kind)));
        let ledger = Arc::clone(&self.ledger);
        *lock(&self.witness) = Some(StoreWitness::start(stores, self.clock(), ledger));
        *lock(&self.starvation) = StarvationMonitor::start(&environment, self.clock());
        Ok(environment)
    }

    /// What the stores were seen to do since they were started, for a scenario that can leave out what slow stores have
    /// disturbed. The executor asks it anyway when a scenario has failed.
    pub fn witness(&self) -> Result<Witness, Stop> {
        let witness = lock(&self.witness);
        let witness = witness.as_ref().map(|asking| asking.witness().clone());
        witness.ok_or_else(|| Stop::unknown("no store was started"))
    }

    /// Stalls of our own threads, and slow stores, count from now on: for a scenario that has started more than one
    /// instance, and has measured nothing yet.
    pub fn measure_from_now(&self) {
        *lock(&self.measured_from) = Some(Instant::now());
    }

    /// Starts both stores and one instance, and waits until it is ready.
    pub async fn start(&self) -> Result<(Arc<Environment>, Arc<Instance>), Stop> {
        self.start_with(&BTreeMap::new()).await
    }

    /// The same, with environment over the manifest's.
    pub async fn start_with(
        &self,
        env: &BTreeMap<String, String>,
    ) -> Result<(Arc<Environment>, Arc<Instance>), Stop> {
        let environment = self.stores().await?;
        self.step("start the subject");
        let instance = environment.start_instance(env).await?;
        Ok((environment, instance))
    }

    /// Starts probing the health of an instance, 20 times a second.
    pub fn probe(&self, instance: &Instance) -> Result<Prober, Stop> {
        self.probe_what(
            instance,
            Watched::Document(Box::new(self.health()?.clone())),
        )
    }

    /// The same for any document or status.
    pub fn probe_what(&self, instance: &Instance, watched: Watched) -> Result<Prober, Stop> {
        let deadline = self.deadline(|d| d.health_answer_ms);
        let prober = Prober::start(watched, &instance.http, self.clock(), deadline)?;
        lock(&self.probers).push(prober.stalls());
        Ok(prober)
    }

    /// The manifest's health section; skips the scenario without one.
    pub fn health(&self) -> Result<&HealthSection, Stop> {
        self.section("health", self.plan.manifest.health.as_ref())
    }

    /// A section of the manifest that the criterion needs; skips the scenario without it.
    pub fn section<'a, T>(&self, name: &str, section: Option<&'a T>) -> Result<&'a T, Stop> {
        let reason = || format!("the manifest has no `{name}`");
        section.ok_or_else(|| Stop::Skip {
            reason: reason(),
            declared: false,
        })
    }

    /// Skips the scenario unless the manifest maps all these operations.
    pub fn require(&self, operations: &[OperationName]) -> Result<(), Stop> {
        let manifest = &self.plan.manifest;
        match operations
            .iter()
            .find(|name| !manifest.operations.contains_key(name))
        {
            None => Ok(()),
            Some(name) => Err(match manifest.absent.get(name) {
                Some(reason) => Stop::Skip {
                    reason: format!("`{}`: {reason}", name.key()),
                    declared: true,
                },
                None => CallError::NotMapped(*name).into(),
            }),
        }
    }

    /// Notes what is done now. The time until the next step is this one's.
    pub fn step(&self, text: impl Into<String>) {
        let text = text.into();
        let at_ms = self.clock().now_us() / 1000;
        self.events.send(|key| RunEventKind::Step {
            key,
            text: text.clone(),
        });
        let mut notes = lock(&self.notes);
        notes.finish_step(at_ms);
        notes.steps.push(StepRecord {
            text,
            at_ms,
            took_ms: 0,
        });
    }

    /// Notes what was seen, for the reader of a verdict, also of a pass.
    pub fn observe(&self, text: impl Into<String>) {
        lock(&self.notes).observations.push(text.into());
    }

    /// A deadline of the manifest. What it turned out to be is told by [`Context::met`].
    pub fn deadline(&self, pick: impl Fn(&Deadlines) -> u64) -> Duration {
        Duration::from_millis(pick(&self.plan.manifest.deadlines))
    }

    /// Notes how long something took that has a deadline, and fails if it took longer.
    pub fn met(
        &self,
        what: &str,
        pick: impl Fn(&Deadlines) -> u64,
        seen: Duration,
    ) -> Result<(), Stop> {
        let allowed_ms = pick(&self.plan.manifest.deadlines);
        let default_ms = pick(&Deadlines::default());
        let seen_ms = u64::try_from(seen.as_millis()).unwrap_or(u64::MAX);
        lock(&self.notes).deadlines.push(DeadlineRecord {
            name: what.to_owned(),
            allowed_ms,
            seen_ms: Some(seen_ms),
            loosened_from_ms: (allowed_ms > default_ms).then_some(default_ms),
        });
        expect(
            seen_ms <= allowed_ms,
            format!("{what} within {allowed_ms} ms"),
            format!("{seen_ms} ms"),
        )
    }
}

impl Notes {
    pub(crate) fn finish_step(&mut self, at_ms: u64) {
        if let Some(last) = self.steps.last_mut() {
            last.took_ms = at_ms.saturating_sub(last.at_ms);
        }
    }
}

/// Nothing under these locks can be left half done by a panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
