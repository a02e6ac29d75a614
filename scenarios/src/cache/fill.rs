//! CACHE-1: a miss reads Postgres and fills; a hit does not touch Postgres.

use super::client::{Entity, filled, key_of};
use super::postgres_traffic::PostgresTraffic;
use crate::store_view::StoreView;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use touchstone_core::{Criterion, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::OperationName;

const ENTITIES: usize = 10;
/// On each of the two instances.
const HITS: usize = 3;

/// CACHE-1.
pub(super) const MISS_AND_HIT: Scenario = Scenario {
    criterion: Criterion {
        id: "CACHE-1",
        statement: "Miss reads Postgres and fills with the TTL of the value's declared class (3600 s for a profile that is not sensitive; jitter of up to -10 % allowed); hit does not touch Postgres",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| miss_and_hit(context).boxed(),
};

struct Rounds {
    instances: [Arc<Instance>; 2],
    store: StoreView,
    traffic: PostgresTraffic,
    ttl_ms: u64,
    shortest_ms: u64,
    longest_ms: u64,
}

async fn miss_and_hit(context: &Context) -> Result<(), Stop> {
    use OperationName::{EntityCreate, EntityRead};
    context.require(&[EntityCreate, EntityRead])?;
    let manifest = Arc::clone(context.manifest());
    let key = context.section("keys.entity", manifest.keys.entity.as_ref())?;
    let cache = context.section("cache", manifest.cache.as_ref())?;
    let ttl_seconds = context.section("cache.ttl_seconds", cache.ttl_seconds.as_ref())?;
    let environment = context.stores().await?;
    let traffic = PostgresTraffic::watch(context, &environment)?;
    context.step("start two instances");
    let first = environment.start_instance(&BTreeMap::new()).await?;
    let second = environment.start_instance(&BTreeMap::new()).await?;
    let mut rounds = Rounds {
        instances: [first, second],
        store: StoreView::open(&environment).await?,
        traffic,
        ttl_ms: ttl_seconds * 1000,
        shortest_ms: u64::MAX,
        longest_ms: 0,
    };
    context.step(format!("miss {ENTITIES} entities, and hit them"));
    for number in 0..ENTITIES {
        let value = format!("value {number}");
        let http = &rounds.instances[number % 2].http;
        let entity = Entity::create(http, context.clock(), &value).await?;
        let key = key_of(key, &entity.id);
        // A create may fill, too.
        rounds.store.delete(&key).await?;
        rounds.miss(&entity, &value, &key, number).await?;
        rounds.hits(&entity, &value).await?;
        rounds.store.delete(&key).await?;
        rounds.miss(&entity, &value, &key, number + 1).await?;
        rounds.store.expire_now(&key).await?;
        rounds.miss(&entity, &value, &key, number).await?;
        rounds.hits(&entity, &value).await?;
    }
    context.observe(format!(
        "{} misses with one read of Postgres each, {} hits with none; expiries from {} to {} ms",
        3 * ENTITIES,
        2 * 2 * HITS * ENTITIES,
        rounds.shortest_ms,
        rounds.longest_ms
    ));
    Ok(())
}

impl Rounds {
    /// Reads what is not cached: one read of Postgres, and an entry with the declared expiry.
    async fn miss(
        &mut self,
        entity: &Entity,
        value: &str,
        key: &str,
        instance: usize,
    ) -> Result<(), Stop> {
        self.traffic.reads_since_last().await?;
        let began = Instant::now();
        read(entity, &self.instances[instance % 2], value).await?;
        let left_ms = filled(&self.store, key).await?;
        let reads = self.traffic.reads_since_last().await?;
        expect(
            reads.len() == 1,
            format!("a read of `{key}`, which is not cached, to read Postgres once"),
            format!("{} reads: {reads:?}", reads.len()),
        )?;
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (least_ms, most_ms) = (self.ttl_ms - self.ttl_ms / 10, self.ttl_ms);
        let in_class = u64::try_from(left_ms)
            .is_ok_and(|left_ms| left_ms <= most_ms && left_ms + took_ms >= least_ms);
        expect(
            in_class,
            format!("`{key}` filled with an expiry of {least_ms} to {most_ms} ms"),
            format!("PTTL {left_ms} at most {took_ms} ms later"),
        )?;
        self.shortest_ms = self.shortest_ms.min(left_ms.unsigned_abs());
        self.longest_ms = self.longest_ms.max(left_ms.unsigned_abs());
        Ok(())
    }

    async fn hits(&mut self, entity: &Entity, value: &str) -> Result<(), Stop> {
        self.traffic.reads_since_last().await?;
        for _ in 0..HITS {
            for instance in &self.instances {
                read(entity, instance, value).await?;
            }
        }
        let reads = self.traffic.reads_since_last().await?;
        expect(
            reads.is_empty(),
            "a hit not to touch Postgres",
            format!("{} reads in {} hits: {reads:?}", reads.len(), 2 * HITS),
        )
    }
}

async fn read(entity: &Entity, instance: &Instance, value: &str) -> Result<(), Stop> {
    let seen = entity.read(&instance.http, 0).await?;
    expect(
        seen == value,
        format!("entity `{}` reads `{value}`", entity.id),
        format!("`{seen}`"),
    )
}
