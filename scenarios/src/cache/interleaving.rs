//! CACHE-5, without held schedules: readers, updates, invalidations and evictions at the same time, on
//! two instances of which one has slower lines to its stores.

use super::client::Entity;
use crate::store_view::StoreView;
use futures::future::join_all;
use proptest::bool::weighted;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use touchstone_core::Verdict;
use touchstone_engine::clock::Clock;
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::FaultGuard;
use touchstone_engine::instance::Instance;
use touchstone_engine::proxy::{Delay, Direction, Latency};
use touchstone_engine::scenario::{Context, Stop};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::manifest::Template;
use touchstone_engine::witness::Witness;

const CLIENTS: std::ops::RangeInclusive<usize> = 2..=3;
const ACTIONS_MAX: usize = 12;
/// A late row is an old one: the longer the answer of Postgres is under way, the more can happen before
/// it is put into the cache. Long against an update, short against every timeout.
const POSTGRES_DELAY_MAX_MS: u64 = 12;
const REDIS_DELAY_MAX_MS: u64 = 3;
const PAUSE_MAX_MS: u64 = 6;
/// Nothing is held, so the same schedule interleaves differently each time: it is tried this often
/// before it counts as good, or else it would be shrunk past the failure by chance.
const TRIES: usize = 4;

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

/// A service whose cache is watched.
#[derive(Debug)]
pub struct CacheSubject {
    environment: Arc<Environment>,
    instances: [Arc<Instance>; 2],
    store: StoreView,
    witness: Witness,
    entity_key: Template,
    clock: Clock,
}

impl CacheSubject {
    /// Starts an environment with two instances.
    pub async fn open(context: &Context) -> Result<Self, Stop> {
        use OperationName::{EntityCreate, EntityInvalidate, EntityRead, EntityUpdate};
        context.require(&[EntityCreate, EntityRead, EntityUpdate, EntityInvalidate])?;
        let key = context.manifest().keys.entity.as_ref();
        let entity_key = context.section("keys.entity", key)?.clone();
        let (environment, slow) = context.start().await?;
        let other = environment.start_instance(&BTreeMap::new()).await?;
        Ok(Self {
            store: StoreView::open(&environment).await?,
            witness: context.witness()?,
            environment,
            instances: [slow, other],
            entity_key,
            clock: context.clock(),
        })
    }

    /// Interleavings of a few clients. More reads on the slow line and more updates past it: so a fill
    /// is more often overtaken.
    pub fn interleavings() -> impl Strategy<Value = Interleaving> {
        let action = prop_oneof![
            6 => weighted(0.6).prop_map(Action::Read),
            2 => weighted(0.2).prop_map(Action::Update),
            1 => any::<bool>().prop_map(Action::Invalidate),
            2 => Just(Action::Evict),
            2 => (1..=PAUSE_MAX_MS).prop_map(Action::Pause),
        ];
        let clients = vec(vec(action, 1..=ACTIONS_MAX), CLIENTS);
        let delays = (0..=POSTGRES_DELAY_MAX_MS, 0..=REDIS_DELAY_MAX_MS);
        (delays, clients).prop_map(
            |((postgres_delay_ms, redis_delay_ms), clients)| Interleaving {
                postgres_delay_ms,
                redis_delay_ms,
                clients,
            },
        )
    }

    /// Carries an interleaving out several times.
    pub async fn run(&self, interleaving: Interleaving) -> Result<(), Stop> {
        for _ in 0..TRIES {
            self.run_once(&interleaving).await?;
        }
        Ok(())
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
        let slow_lines = [
            self.slow_line(
                StoreKind::Postgres,
                Direction::Down,
                interleaving.postgres_delay_ms,
            )
            .await?,
            self.slow_line(StoreKind::Redis, Direction::Up, interleaving.redis_delay_ms)
                .await?,
        ];
        let next_value = AtomicU32::new(1);
        let clients = (1..)
            .zip(&interleaving.clients)
            .map(|(client, actions)| self.client(client, actions, entity, &next_value));
        let ended: Result<(), Stop> = join_all(clients).await.into_iter().collect();
        for line in slow_lines {
            line.heal().await?;
        }
        ended?;
        for instance in &self.instances {
            entity.read(&instance.http, 0).await?;
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
    ) -> Result<(), Stop> {
        let http = |slow: bool| &self.instances[usize::from(!slow)].http;
        for action in actions {
            match action {
                Action::Read(slow) => {
                    entity.read(http(*slow), client).await?;
                }
                Action::Update(slow) => {
                    let value = format!("v{}", next_value.fetch_add(1, Ordering::Relaxed));
                    entity.update(http(*slow), client, &value).await?;
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
                Action::Pause(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            }
        }
        Ok(())
    }
}
