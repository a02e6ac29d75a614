//! CACHE-5: readers, updates, invalidations, evictions and cuts at the same time, on two instances of which
//! one has slower lines to its stores; as a scenario and as a property test.
//!
//! Nothing is held: a slow line makes room for the races. So the same seed gives the same schedules, not
//! the same interleavings.

use super::client::Entity;
use crate::search::{config, search};
use crate::store_view::StoreView;
use futures::FutureExt;
use futures::future::join_all;
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use touchstone_core::{Criterion, Profile, Verdict};
use touchstone_engine::clock::Clock;
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::FaultGuard;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::{Cut, CutMode, Delay, Direction, Latency};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::Template;
use touchstone_engine::subject::{HttpClient, OperationName};
use touchstone_engine::witness::Witness;

const ACTIONS: std::ops::RangeInclusive<usize> = 1..=12;
/// A late row is an old one: the longer the answer of Postgres is under way, the more can happen before
/// it is put into the cache. Long against an update, short against every timeout.
const POSTGRES_DELAY_MS: std::ops::RangeInclusive<u64> = 8..=30;
const REDIS_DELAY_MAX_MS: u64 = 3;
const PAUSE_MAX_MS: u64 = 6;
/// Nothing is held, so the same schedule interleaves differently each time: it is tried this often
/// before it counts as good, or else it would be shrunk past the failure by chance.
const TRIES: usize = 8;
const POLL: Duration = Duration::from_millis(2);
const CASES_USUAL: u32 = 12;
/// Where the manifest does not say how an update is refused.
const USUAL_REFUSAL: u16 = 503;

/// CACHE-5.
pub(super) const NO_STALE_READ: Scenario = Scenario {
    criterion: Criterion {
        id: "CACHE-5",
        statement: "Any interleaving of readers, updates and invalidations, with cuts in between, leaves a history with no stale read after an acknowledged update (property test, shrunk on failure)",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| no_stale_read(context).boxed(),
};

async fn no_stale_read(context: &Context) -> Result<(), Stop> {
    let subject = CacheSubject::open(context).await?;
    let config = config(context.seed(), CASES_USUAL);
    context.step(format!(
        "{} interleavings, {TRIES} times each",
        config.cases
    ));
    let schedules = CacheSubject::interleavings;
    search(config, schedules, |schedule| subject.run(schedule)).await?;
    context.observe(subject.told());
    Ok(())
}

/// What one client does next. The flag is the instance: the slow one, or the other.
#[derive(Debug, Clone)]
pub enum Action {
    /// Reads through the cache.
    Read(bool),
    /// Updates, with a value that nobody else writes.
    Update(bool),
    /// Takes the entry out of the cache, through the service.
    Invalidate(bool),
    /// The store loses the entry, as under memory pressure.
    Evict,
    /// The slow instance's connections to Redis are reset.
    Cut,
    /// Does nothing for so many milliseconds: part of the schedule, no wait for a state.
    Pause(u64),
}

/// What several clients do at the same time.
#[derive(Debug, Clone)]
pub struct Interleaving {
    /// How long what Postgres answers is under way to the slow instance.
    pub postgres_delay_ms: u64,
    /// How long what the slow instance sends to Redis is under way.
    pub redis_delay_ms: u64,
    /// The clients' actions.
    pub clients: Vec<Vec<Action>>,
}

impl Interleaving {
    fn has_cut(&self) -> bool {
        let mut actions = self.clients.iter().flatten();
        actions.any(|action| matches!(action, Action::Cut))
    }
}

/// A service whose cache is watched.
#[derive(Debug)]
pub struct CacheSubject {
    environment: Arc<Environment>,
    instances: [Arc<Instance>; 2],
    store: StoreView,
    witness: Witness,
    entity_key: Template,
    clock: Clock,
    refusal_status: u16,
    done: Done,
}

/// How much there was to go wrong.
#[derive(Debug, Default)]
struct Done {
    reads: AtomicU32,
    updates: AtomicU32,
    cuts: AtomicU32,
}

impl CacheSubject {
    /// Starts an environment with two instances.
    pub async fn open(context: &Context) -> Result<Self, Stop> {
        use OperationName::{EntityCreate, EntityInvalidate, EntityRead, EntityUpdate};
        context.require(&[EntityCreate, EntityRead, EntityUpdate, EntityInvalidate])?;
        let key = context.manifest().keys.entity.as_ref();
        let entity_key = context.section("keys.entity", key)?.clone();
        let degraded = context.manifest().degraded.as_ref();
        let (environment, slow) = context.start().await?;
        let other = environment.start_instance(&BTreeMap::new()).await?;
        Ok(Self {
            store: StoreView::open(&environment).await?,
            witness: context.witness()?,
            environment,
            instances: [slow, other],
            entity_key,
            clock: context.clock(),
            refusal_status: degraded.map_or(USUAL_REFUSAL, |degraded| degraded.refusal_status),
            done: Done::default(),
        })
    }

    /// Interleavings of a few clients: readers, most of them on the slow line, writers, most of them past it, so that a
    /// fill is often overtaken, and perhaps somebody who takes the entry out of the cache.
    pub fn interleavings() -> impl Strategy<Value = Interleaving> {
        let pause = || (1..=PAUSE_MAX_MS).prop_map(Action::Pause);
        let read = |slow| weighted(slow).prop_map(Action::Read);
        let reader = prop_oneof![8 => read(0.85), 2 => Just(Action::Evict), 2 => pause()];
        let writer = prop_oneof![
            5 => weighted(0.15).prop_map(Action::Update),
            2 => read(0.5),
            4 => pause(),
        ];
        let janitor = prop_oneof![
            10 => any::<bool>().prop_map(Action::Invalidate),
            4 => Just(Action::Evict),
            4 => read(0.5),
            6 => pause(),
            1 => Just(Action::Cut),
        ];
        let clients = (
            vec(vec(reader, ACTIONS), 1..=3),
            vec(vec(writer, ACTIONS), 1..=2),
            vec(vec(janitor, ACTIONS), 0..=1),
        );
        let clients =
            clients.prop_map(|(readers, writers, janitors)| [readers, writers, janitors].concat());
        let delays = (POSTGRES_DELAY_MS, 0..=REDIS_DELAY_MAX_MS);
        (delays, clients).prop_map(
            |((postgres_delay_ms, redis_delay_ms), clients)| Interleaving {
                postgres_delay_ms,
                redis_delay_ms,
                clients,
            },
        )
    }

    /// Carries an interleaving out several times, side by side, each on an entity of its own.
    pub async fn run(&self, interleaving: Interleaving) -> Result<(), Stop> {
        let Interleaving {
            postgres_delay_ms,
            redis_delay_ms,
            ..
        } = interleaving;
        let slow_lines = [
            self.slow_line(StoreKind::Postgres, Direction::Down, postgres_delay_ms)
                .await?,
            self.slow_line(StoreKind::Redis, Direction::Up, redis_delay_ms)
                .await?,
        ];
        let tries = (0..TRIES).map(|_| self.run_once(&interleaving));
        let mut ended: Result<(), Stop> = join_all(tries).await.into_iter().collect();
        if interleaving.has_cut() {
            ended = ended.and(self.until_reconnected().await);
        }
        for line in slow_lines {
            match line.bite() {
                Some(_) => line.heal().await?,
                None => line.withdraw("the schedule does not need the line").await?,
            }
        }
        ended
    }

    /// What a cut has left behind belongs to the schedule that had it.
    async fn until_reconnected(&self) -> Result<(), Stop> {
        let manifest = self.environment.manifest();
        let deadline = Duration::from_millis(manifest.deadlines.recover_ms);
        let (http, path) = (&self.instances[0].http, &manifest.subject.ready_path);
        let ready = poll_until(
            "the instance to be ready after a cut",
            deadline,
            POLL,
            || async {
                match http.get(path).await {
                    Ok(answer) if answer.status == 200 => Look::Ready(()),
                    Ok(answer) => Look::NotYet(answer.describe()),
                    Err(error) => Look::NotYet(error.to_string()),
                }
            },
        );
        ready.await.or_fail("a reconnect after a cut")
    }

    /// What was done so far.
    fn told(&self) -> String {
        let Done {
            reads,
            updates,
            cuts,
        } = &self.done;
        let [reads, updates, cuts] = [reads, updates, cuts].map(|n| n.load(Ordering::Relaxed));
        format!("{reads} reads, {updates} acknowledged updates, {cuts} cuts; no read was stale")
    }

    /// Once, on a new entity, whose record is judged. A try that slow stores disturbed proves nothing.
    async fn run_once(&self, interleaving: &Interleaving) -> Result<(), Stop> {
        let began = Instant::now();
        let tried = async {
            let entity = Entity::create(&self.instances[1].http, self.clock, "v0").await?;
            let ended = self.carry_out(interleaving, &entity).await;
            match entity.judge() {
                Verdict::Fail(finding) => Ok(Some(finding)),
                // A schedule without an update proves nothing either.
                _ => ended.map(|()| None),
            }
        };
        match tried.await {
            Ok(None) => Ok(()),
            Ok(Some(finding)) => {
                let schedule = format!("the schedule: {interleaving:?}");
                Err(Stop::Fail(finding.with_evidence(schedule)))
            }
            Err(stop) => self.witness.excuse(stop, began).map(drop),
        }
    }

    /// All clients at once; then, when all is quiet, a read on each instance.
    async fn carry_out(&self, interleaving: &Interleaving, entity: &Entity) -> Result<(), Stop> {
        let next_value = AtomicU32::new(1);
        let clients = (1..).zip(&interleaving.clients).map(|(client, actions)| {
            let refusable = interleaving.has_cut();
            self.client(client, actions, entity, &next_value, refusable)
        });
        let ended: Result<(), Stop> = join_all(clients).await.into_iter().collect();
        ended?;
        for instance in &self.instances {
            self.read(&instance.http, 0, entity).await?;
        }
        Ok(())
    }

    async fn slow_line(
        &self,
        store: StoreKind,
        direction: Direction,
        delay_ms: u64,
    ) -> Result<FaultGuard, Stop> {
        let latency = Latency {
            delay: Delay::fixed(Duration::from_millis(delay_ms)),
            direction,
        };
        let wiring = &self.instances[0].wiring;
        Ok(self
            .environment
            .network_fault(wiring, store, latency)
            .await?)
    }

    async fn client(
        &self,
        client: u32,
        actions: &[Action],
        entity: &Entity,
        next_value: &AtomicU32,
        refusable: bool,
    ) -> Result<(), Stop> {
        let http = |slow: bool| &self.instances[usize::from(!slow)].http;
        for action in actions {
            match action {
                Action::Read(slow) => self.read(http(*slow), client, entity).await?,
                Action::Update(slow) => {
                    let value = format!("v{}", next_value.fetch_add(1, Ordering::Relaxed));
                    if refusable {
                        self.update_or_refusal(http(*slow), client, entity, &value)
                            .await?;
                    } else {
                        entity.update(http(*slow), client, &value).await?;
                        self.done.updates.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Action::Invalidate(slow) => {
                    let values: &[(&str, &[u8])] = &[("id", entity.id.as_bytes())];
                    let name = OperationName::EntityInvalidate;
                    http(*slow).call(name, values).await?;
                }
                Action::Evict => {
                    let id = || Some(entity.id.clone());
                    let key = self
                        .entity_key
                        .fill(|name| (name == "id").then(id).flatten());
                    self.store.delete(&key).await?;
                }
                Action::Cut => self.cut().await?,
                Action::Pause(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            }
        }
        Ok(())
    }

    async fn read(&self, http: &HttpClient, client: u32, entity: &Entity) -> Result<(), Stop> {
        entity.read(http, client).await?;
        self.done.reads.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// One that a cut has hit may be refused, and may have been carried out all the same.
    async fn update_or_refusal(
        &self,
        http: &HttpClient,
        client: u32,
        entity: &Entity,
        value: &str,
    ) -> Result<(), Stop> {
        let acknowledged = entity
            .update_or_refusal(http, client, value, self.refusal_status)
            .await?;
        let acknowledged = u32::from(acknowledged);
        self.done.updates.fetch_add(acknowledged, Ordering::Relaxed);
        Ok(())
    }

    async fn cut(&self) -> Result<(), Stop> {
        let (wiring, mode) = (&self.instances[0].wiring, CutMode::Reset);
        let cut = self
            .environment
            .network_fault(wiring, StoreKind::Redis, Cut { mode })
            .await?;
        match cut.bite() {
            Some(_) => cut.heal().await?,
            None => cut.withdraw("the last cut had left no connection").await?,
        }
        self.done.cuts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
