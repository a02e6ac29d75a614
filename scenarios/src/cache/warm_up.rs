//! CACHE-9: what is declared as read most is in the cache before the first request comes, and is no older
//! than what was acknowledged meanwhile.

use super::client::{Entity, key_of};
use super::postgres_traffic::PostgresTraffic;
use crate::store_view::StoreView;
use futures::FutureExt;
use futures::future::join;
use futures::stream::{self, StreamExt, TryStreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::{Environment, Overrides};
use touchstone_engine::instance::Instance;
use touchstone_engine::proxy::{Bandwidth, Direction};
use touchstone_engine::scenario::{Context, Scenario, Stop, demand, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::manifest::{CacheSection, Template};

/// Declared, and left alone.
const STILL: usize = 20;
/// Declared, and updated once each, one after the other, until the instance is ready: so some of them between the reading
/// of their row and its way into the cache.
const MOVING: usize = 200;
const PACE: Duration = Duration::from_millis(2);
const AT_ONCE: usize = 20;
/// As many that are not declared.
const OTHERS: usize = 3;
/// How fast the line from Postgres is. All hot rows together take some tenths of a second, so that an update passes
/// them, and a health check's answer next to nothing, so that a service which is ready too early is seen to be.
const LINE_BYTES_PER_SECOND: u64 = 32 * 1024;
const UPDATER: u32 = 1;
const READER: u32 = 2;

/// CACHE-9.
pub(super) const BEFORE_READY: Scenario = Scenario {
    criterion: Criterion {
        id: "CACHE-9",
        statement: "Warm-up fills the declared hot keys before ready, and no other; an update acknowledged meanwhile is not undone by it",
        profile: Profile::Release,
    },
    expected: Duration::from_secs(3),
    run: |context| before_ready(context).boxed(),
};

struct WarmUp<'a> {
    context: &'a Context,
    environment: Arc<Environment>,
    other: Arc<Instance>,
    store: StoreView,
    entity_key: &'a Template,
    still: Vec<Entity>,
    moving: Vec<Entity>,
    undeclared: Vec<Entity>,
}

async fn before_ready(context: &Context) -> Result<(), Stop> {
    use OperationName::{EntityCreate, EntityRead, EntityUpdate};
    context.require(&[EntityCreate, EntityRead, EntityUpdate])?;
    let manifest = Arc::clone(context.manifest());
    let entity_key = context.section("keys.entity", manifest.keys.entity.as_ref())?;
    let cache = context.section("cache", manifest.cache.as_ref())?;
    let declares = (!cache.warm_up.is_empty()).then_some(());
    context.section("cache.warm_up", declares.as_ref())?;
    let (environment, other) = context.start().await?;
    let warm_up = WarmUp {
        still: entities(context, &other, STILL).await?,
        moving: entities(context, &other, MOVING).await?,
        undeclared: entities(context, &other, OTHERS).await?,
        store: StoreView::open(&environment).await?,
        context,
        environment,
        other,
        entity_key,
    };
    for entity in warm_up.declared().chain(&warm_up.undeclared) {
        // A create may fill.
        warm_up.store.delete(&warm_up.key(entity)).await?;
    }
    let mut traffic = PostgresTraffic::watch(context, &warm_up.environment)?;
    let warm = warm_up.start(cache).await?;
    warm_up.declared_are_cached(cache).await?;
    warm_up.read_all(&warm, &mut traffic).await
}

async fn entities(
    context: &Context,
    instance: &Instance,
    count: usize,
) -> Result<Vec<Entity>, Stop> {
    let create = |number| async move {
        Entity::create(&instance.http, context.clock(), &created(number)).await
    };
    let all = stream::iter((0..count).map(create)).buffered(AT_ONCE);
    all.try_collect().await
}

fn created(number: usize) -> String {
    format!("created {number}")
}

impl WarmUp<'_> {
    fn declared(&self) -> impl Iterator<Item = &Entity> {
        self.still.iter().chain(&self.moving)
    }

    fn key(&self, entity: &Entity) -> String {
        key_of(self.entity_key, &entity.id)
    }

    /// Starts an instance with hot keys and a slow line, while some of them are updated through the other.
    async fn start(&self, cache: &CacheSection) -> Result<Arc<Instance>, Stop> {
        self.context.step(format!(
            "start an instance with {STILL} hot keys, and {MOVING} that are being updated"
        ));
        let wiring = self.environment.wire().await?;
        let slow_line = Bandwidth {
            bytes_per_second: LINE_BYTES_PER_SECOND,
            direction: Direction::Down,
        };
        let slow = self
            .environment
            .network_fault(&wiring, StoreKind::Postgres, slow_line)
            .await?;
        let ids: Vec<&str> = self.declared().map(|entity| entity.id.as_str()).collect();
        let overrides = Overrides {
            env: cache.warm_up_env(&ids),
            ..Overrides::default()
        };
        let ready = AtomicBool::new(false);
        let updates = async {
            let mut updated = 0;
            for entity in &self.moving {
                if ready.load(Ordering::Relaxed) {
                    break;
                }
                entity.update(&self.other.http, UPDATER, "updated").await?;
                updated += 1;
                // Part of the schedule, no wait for a state.
                tokio::time::sleep(PACE).await;
            }
            Ok::<_, Stop>(updated)
        };
        let start = async {
            let started = async {
                let instance = self.environment.launch(wiring, &overrides)?;
                instance.wait_ready().await?;
                Ok::<_, Stop>(instance)
            };
            let started = started.await;
            ready.store(true, Ordering::Relaxed);
            started
        };
        let (updated, started) = join(updates, start).await;
        let (updated, instance) = (updated?, started?);
        self.context.observe(format!(
            "{updated} of {MOVING} updated until the instance was ready"
        ));
        if updated == MOVING {
            let reason = "the instance took longer than all updates: none may have met its warm-up";
            return Err(Stop::unknown(reason));
        }
        slow.heal().await?;
        Ok(instance)
    }

    /// At once: what is filled behind the readiness is not there yet.
    async fn declared_are_cached(&self, cache: &CacheSection) -> Result<(), Stop> {
        let mut missing = Vec::new();
        for entity in &self.still {
            let key = self.key(entity);
            let left_ms = self.store.pttl_ms(&key).await?;
            if left_ms == -2 {
                missing.push(key);
                continue;
            }
            let longest_ms = cache.ttl_seconds.map(|seconds| seconds * 1000);
            let ends = left_ms > 0 && longest_ms.is_none_or(|most| left_ms.unsigned_abs() <= most);
            let expected = format!("`{key}` warmed up with the expiry of its class");
            expect(ends, expected, format!("PTTL {left_ms}"))?;
        }
        expect(
            missing.is_empty(),
            "every declared hot key in the cache when the instance is ready",
            format!("missing: {}", missing.join(", ")),
        )?;
        for entity in &self.undeclared {
            let key = self.key(entity);
            expect(
                !self.store.exists(&key).await?,
                "only declared keys warmed up",
                format!("`{key}` is in the cache as well"),
            )?;
        }
        Ok(())
    }

    /// The first reads are hits, and none is older than what was acknowledged.
    async fn read_all(&self, warm: &Instance, traffic: &mut PostgresTraffic) -> Result<(), Stop> {
        self.context.step("read the hot keys");
        traffic.reads_since_last().await?;
        for (number, entity) in self.still.iter().enumerate() {
            let seen = entity.read(&warm.http, READER).await?;
            let value = created(number);
            let expected = format!("`{value}` of entity `{}`", entity.id);
            expect(seen == value, expected, format!("`{seen}`"))?;
        }
        let reads = traffic.reads_since_last().await?;
        expect(
            reads.is_empty(),
            "first reads of hot keys not to touch Postgres",
            format!("{} reads: {reads:?}", reads.len()),
        )?;
        for entity in self.moving.iter().filter(|entity| entity.operations() > 0) {
            for instance in [warm, &self.other] {
                entity.read(&instance.http, READER).await?;
            }
            demand(entity.judge())?;
        }
        Ok(())
    }
}
