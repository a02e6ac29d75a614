//! CACHE-8: without Redis, for all or for one alone: reads work, and no acknowledged update is hidden by
//! an entry from before, then or later.

use super::client::Entity;
use crate::store_view::StoreView;
use futures::FutureExt;
use futures::future::{join, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use touchstone_core::timeline::ProbeAnswer;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::{FaultGuard, ServerFaultKind};
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::prober::Prober;
use touchstone_engine::proxy::Scope;
use touchstone_engine::proxy::{Delay, Direction, Latency, Refuse, Silence};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, demand};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::Template;
use touchstone_engine::subject::{HttpClient, OperationName};

/// For what comes late to be told with its time.
const GRACE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(1);
/// On the way to Postgres: meanwhile readers have the row before the update in the cache.
const REQUEST_DELAY: Duration = Duration::from_millis(10);
/// On the way back: most of an update's time is spent between its commit and what follows.
const REPLY_DELAY: Duration = Duration::from_millis(80);
/// Updates seen to go through before Redis goes, so that the next is in flight.
const UPDATES_BEFORE: u32 = 1;
/// Where in its course an update is hit is chance.
const IN_FLIGHT_ROUNDS: usize = 2;
/// What tells that Redis came back with its data.
const KEPT: &str = "touchstone:kept";

/// CACHE-8.
pub(super) const WITHOUT_REDIS: Scenario = Scenario {
    criterion: Criterion {
        id: "CACHE-8",
        statement: "Redis really stopped, for all instances: reads fall back to Postgres and answer 200; an update made then is not hidden by a stale entry when Redis is back. Only one instance cut off: its updates either stay correct for all readers or answer 503",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(8),
    run: |context| without_redis(context).boxed(),
};

struct Story<'a> {
    context: &'a Context,
    environment: Arc<Environment>,
    instances: [Arc<Instance>; 2],
    probers: [Prober; 2],
    entity_key: &'a Template,
    refusal_status: u16,
    acknowledged: AtomicU32,
    refused: AtomicU32,
}

async fn without_redis(context: &Context) -> Result<(), Stop> {
    use OperationName::{EntityCreate, EntityRead, EntityUpdate};
    context.require(&[EntityCreate, EntityRead, EntityUpdate])?;
    let manifest = Arc::clone(context.manifest());
    let entity_key = context.section("keys.entity", manifest.keys.entity.as_ref())?;
    let degraded = context.section("degraded", manifest.degraded.as_ref())?;
    let (environment, first) = context.start().await?;
    context.step("start a second instance");
    let second = environment.start_instance(&BTreeMap::new()).await?;
    let story = Story {
        context,
        probers: [context.probe(&first)?, context.probe(&second)?],
        instances: [first, second],
        environment,
        entity_key,
        refusal_status: degraded.refusal_status,
        acknowledged: AtomicU32::new(0),
        refused: AtomicU32::new(0),
    };
    for kind in [ServerFaultKind::Stop, ServerFaultKind::Kill] {
        story.quiet_outage(kind).await?;
        for _ in 0..IN_FLIGHT_ROUNDS {
            story.update_in_flight(kind).await?;
        }
    }
    story.one_cut_off(Refuse).await?;
    story.one_cut_off(Silence { scope: Scope::All }).await?;
    context.observe(format!(
        "without Redis {} updates were acknowledged and {} refused; none was hidden",
        story.acknowledged.load(Ordering::Relaxed),
        story.refused.load(Ordering::Relaxed)
    ));
    Ok(())
}

impl Story<'_> {
    /// Redis goes for all while nothing is under way; updates are made without it; it comes back.
    async fn quiet_outage(&self, kind: ServerFaultKind) -> Result<(), Stop> {
        self.context.step(format!("{kind:?} redis, then update"));
        let entity = self.cached_entity().await?;
        self.store().await?.set(KEPT, b"1").await?;
        let fault = self.environment.fault(StoreKind::Redis, kind).await?;
        self.use_without_redis(&entity, "at once", &[0, 1]).await?;
        for prober in &self.probers {
            self.see_redis(prober, false).await?;
        }
        self.use_without_redis(&entity, "once noticed", &[1, 0])
            .await?;
        self.come_back(&entity, fault).await
    }

    /// Redis goes for all while updates and reads are under way, and comes back when they are over.
    async fn update_in_flight(&self, kind: ServerFaultKind) -> Result<(), Stop> {
        self.context
            .step(format!("{kind:?} redis with an update in flight"));
        let entity = self.cached_entity().await?;
        self.store().await?.set(KEPT, b"1").await?;
        let lines = [
            self.slow_postgres(Direction::Up, REQUEST_DELAY).await?,
            self.slow_postgres(Direction::Down, REPLY_DELAY).await?,
        ];
        let (count, over) = (AtomicU32::new(0), AtomicBool::new(false));
        let updates = async {
            while !over.load(Ordering::Relaxed) {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let value = format!("in flight {number}");
                if !self.update(&entity, 0, &value).await? {
                    // It knows that Redis is gone: the one in flight is behind us.
                    break;
                }
            }
            Ok::<_, Stop>(())
        };
        let reads = [0, 1, 0, 1].map(|instance| self.read_until(&entity, instance, &over));
        let outage = async {
            let under_way = self.until_under_way(&count).await;
            let fault = self.environment.fault(StoreKind::Redis, kind).await;
            over.store(true, Ordering::Relaxed);
            under_way.and(fault.map_err(Stop::from))
        };
        let (fault, (updated, read)) = join(outage, join(updates, join_all(reads))).await;
        for line in lines {
            line.heal().await?;
        }
        let fault = fault?;
        self.judge(&entity)?;
        updated?;
        read.into_iter().collect::<Result<(), Stop>>()?;
        self.come_back(&entity, fault).await
    }

    async fn slow_postgres(
        &self,
        direction: Direction,
        delay: Duration,
    ) -> Result<FaultGuard, Stop> {
        let latency = Latency {
            delay: Delay::fixed(delay),
            direction,
        };
        let (wiring, store) = (&self.instances[0].wiring, StoreKind::Postgres);
        Ok(self
            .environment
            .network_fault(wiring, store, latency)
            .await?)
    }

    /// One instance loses its line to Redis, the other does not.
    async fn one_cut_off(
        &self,
        fault: impl touchstone_engine::proxy::fault::Fault,
    ) -> Result<(), Stop> {
        let name = fault.name();
        self.context.step(format!("{name} for one instance alone"));
        let entity = self.cached_entity().await?;
        let wiring = &self.instances[0].wiring;
        let fault = self
            .environment
            .network_fault(wiring, StoreKind::Redis, fault)
            .await?;
        self.use_without_redis(&entity, "at once", &[0]).await?;
        self.see_redis(&self.probers[0], false).await?;
        // The others' entry is there again: what the next update must not leave behind.
        entity
            .prime(&self.instances[1..], &self.store().await?, self.entity_key)
            .await?;
        self.use_without_redis(&entity, "once noticed", &[0])
            .await?;
        entity
            .update(&self.instances[1].http, 1, "by the other")
            .await?;
        self.read_all(&entity).await?;
        fault.heal().await?;
        self.until_back(&entity).await?;
        self.works_again(&entity).await
    }

    /// An entity with an acknowledged update in its history and its entry in the cache.
    async fn cached_entity(&self) -> Result<Entity, Stop> {
        let http = &self.instances[1].http;
        let entity = Entity::create(http, self.context.clock(), "created").await?;
        let store = self.store().await?;
        // A barrier of the last outage may stand for another entity, never for this one.
        entity.update(http, 1, "before").await?;
        entity
            .prime(&self.instances, &store, self.entity_key)
            .await?;
        Ok(entity)
    }

    /// Reads everywhere, updates through these instances, reads everywhere.
    async fn use_without_redis(
        &self,
        entity: &Entity,
        when: &str,
        updaters: &[usize],
    ) -> Result<(), Stop> {
        self.read_all(entity).await?;
        for updater in updaters {
            let value = format!("{when}, by {updater}");
            self.update(entity, *updater, &value).await?;
            self.read_all(entity).await?;
        }
        Ok(())
    }

    /// Updates through an instance; whether it was acknowledged, or else refused.
    async fn update(&self, entity: &Entity, instance: usize, value: &str) -> Result<bool, Stop> {
        let http = self.http(instance);
        let acknowledged = entity
            .update_or_refusal(&http, 1, value, self.refusal_status)
            .await?;
        let counter = if acknowledged {
            &self.acknowledged
        } else {
            &self.refused
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(acknowledged)
    }

    /// Reads on each instance, and judges the history so far.
    async fn read_all(&self, entity: &Entity) -> Result<(), Stop> {
        for instance in [0, 1, 0] {
            entity.read(&self.http(instance), 2).await?;
        }
        self.judge(entity)
    }

    async fn read_until(
        &self,
        entity: &Entity,
        instance: usize,
        over: &AtomicBool,
    ) -> Result<(), Stop> {
        let http = self.http(instance);
        while !over.load(Ordering::Relaxed) {
            entity.read(&http, 3).await?;
        }
        entity.read(&http, 3).await.map(drop)
    }

    /// Brings Redis back with its data and reads until both instances have it, and then from the cache.
    async fn come_back(&self, entity: &Entity, fault: FaultGuard) -> Result<(), Stop> {
        self.context.step("bring redis back");
        fault.heal().await?;
        self.environment
            .store(StoreKind::Redis)
            .wait_ready()
            .await?;
        if !self.store().await?.exists(KEPT).await? {
            return Err(Stop::unknown("Redis came back without its data"));
        }
        self.until_back(entity).await?;
        self.works_again(entity).await
    }

    async fn until_back(&self, entity: &Entity) -> Result<(), Stop> {
        let over = AtomicBool::new(false);
        let reads = [0, 1].map(|instance| self.read_until(entity, instance, &over));
        let back = async {
            let seen = self
                .probers
                .iter()
                .map(|prober| self.see_redis(prober, true));
            let seen = join_all(seen).await;
            over.store(true, Ordering::Relaxed);
            seen.into_iter().collect::<Result<(), Stop>>()
        };
        let (back, read) = join(back, join_all(reads)).await;
        self.judge(entity)?;
        back?;
        read.into_iter().collect()
    }

    /// With Redis there again, updates have to be acknowledged.
    async fn works_again(&self, entity: &Entity) -> Result<(), Stop> {
        self.read_all(entity).await?;
        entity
            .update(&self.instances[0].http, 1, "after, by 0")
            .await?;
        self.read_all(entity).await?;
        entity
            .update(&self.instances[1].http, 1, "after, by 1")
            .await?;
        self.read_all(entity).await
    }

    async fn until_under_way(&self, count: &AtomicU32) -> Result<(), Stop> {
        let deadline = self.context.deadline(|d| d.answer_ms);
        let under_way = poll_until("updates to go through", deadline, POLL, || async {
            match count.load(Ordering::Relaxed) {
                begun if begun > UPDATES_BEFORE => Look::Ready(()),
                begun => Look::NotYet(format!("{begun} begun")),
            }
        });
        under_way.await.or_fail("updates to be answered")
    }

    /// Waits until health shows Redis there or away: an instance's own word, for timing only.
    async fn see_redis(&self, prober: &Prober, connected: bool) -> Result<(), Stop> {
        let deadline = self
            .context
            .deadline(|d| d.recover_ms.max(d.health_notice_ms));
        let wanted = |answer: &ProbeAnswer| matches!(answer, ProbeAnswer::Health(seen) if seen.redis_connected == connected);
        let what = format!("health to show Redis connected: {connected}");
        let from_us = self.context.clock().now_us();
        let seen = prober.wait_for(&what, from_us, deadline + GRACE, wanted);
        seen.await.or_fail(&what)?;
        Ok(())
    }

    fn judge(&self, entity: &Entity) -> Result<(), Stop> {
        demand(entity.judge())
    }

    /// A client that waits no longer than an answer without Redis may take.
    fn http(&self, instance: usize) -> HttpClient {
        let deadline = self.context.deadline(|d| d.degraded_answer_ms);
        self.instances[instance].http.with_deadline(deadline)
    }

    /// A restart ends a connection, so each look has its own.
    async fn store(&self) -> Result<StoreView, Stop> {
        StoreView::open(&self.environment).await
    }
}
