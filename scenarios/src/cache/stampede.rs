//! CACHE-7: many misses of one key at the same moment cost Postgres two queries at most.

use super::client::{Entity, key_of};
use super::postgres_traffic::PostgresTraffic;
use crate::store_view::StoreView;
use futures::FutureExt;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::FaultGuard;
use touchstone_engine::instance::Instance;
use touchstone_engine::proxy::{Delay, Direction, Latency};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::Template;

const READS: usize = 100;
const QUERIES_MAX: usize = 2;
/// Three is the least at which sharing within each instance alone is too little.
const INSTANCES: usize = 3;
const ROUNDS: usize = 3;
/// Long against the sending of all reads, short against every timeout.
const POSTGRES_DELAY: Duration = Duration::from_millis(100);

/// CACHE-7.
pub(super) const SHARED: Scenario = Scenario {
    criterion: Criterion {
        id: "CACHE-7",
        statement: "100 concurrent misses of one key cost Postgres at most 2 queries (no stampede)",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(6),
    run: |context| shared(context).boxed(),
};

struct Rounds<'a> {
    context: &'a Context,
    instances: Vec<Arc<Instance>>,
    store: StoreView,
    traffic: PostgresTraffic,
    entity_key: &'a Template,
    most_queries: usize,
}

async fn shared(context: &Context) -> Result<(), Stop> {
    use OperationName::{EntityCreate, EntityRead};
    context.require(&[EntityCreate, EntityRead])?;
    let manifest = Arc::clone(context.manifest());
    let entity_key = context.section("keys.entity", manifest.keys.entity.as_ref())?;
    let environment = context.stores().await?;
    let traffic = PostgresTraffic::watch(context, &environment)?;
    context.step(format!("start {INSTANCES} instances"));
    let mut instances = Vec::new();
    for _ in 0..INSTANCES {
        instances.push(environment.start_instance(&BTreeMap::new()).await?);
    }
    let mut rounds = Rounds {
        context,
        instances,
        store: StoreView::open(&environment).await?,
        traffic,
        entity_key,
        most_queries: 0,
    };
    for count in 1..=INSTANCES {
        context.step(format!("{READS} misses at once, on {count} instances"));
        rounds.on(&environment, count).await?;
    }
    context.observe(format!(
        "{} times {READS} reads at once: {} queries at most",
        ROUNDS * INSTANCES,
        rounds.most_queries
    ));
    Ok(())
}

impl Rounds<'_> {
    /// As many rounds as are due; one whose reads were not sent together is repeated, within reason.
    async fn on(&mut self, environment: &Environment, count: usize) -> Result<(), Stop> {
        let entity = Entity::create(&self.instances[0].http, self.context.clock(), "one").await?;
        let slow_lines = self.slow_lines(environment, count, &entity).await?;
        let (mut good, mut tried) = (0, 0);
        while good < ROUNDS {
            tried += 1;
            good += usize::from(self.round(&entity, count).await?);
            if tried >= 3 * ROUNDS && good < ROUNDS {
                let reason =
                    format!("in {tried} rounds only {good} had all reads sent before an answer");
                return Err(Stop::unknown(reason));
            }
        }
        for line in slow_lines {
            line.heal().await?;
        }
        Ok(())
    }

    /// Delays what Postgres answers, and has each instance make a connection and feel it.
    async fn slow_lines(
        &self,
        environment: &Environment,
        count: usize,
        entity: &Entity,
    ) -> Result<Vec<FaultGuard>, Stop> {
        let mut lines = Vec::new();
        for instance in &self.instances[..count] {
            for slow in [false, true] {
                if slow {
                    let latency = Latency {
                        delay: Delay::fixed(POSTGRES_DELAY),
                        direction: Direction::Down,
                    };
                    let wiring = &instance.wiring;
                    let store = StoreKind::Postgres;
                    lines.push(environment.network_fault(wiring, store, latency).await?);
                }
                self.store
                    .delete(&key_of(self.entity_key, &entity.id))
                    .await?;
                entity.read(&instance.http, 0).await?;
            }
        }
        Ok(lines)
    }

    /// Whether every read was sent before the first was answered.
    async fn round(&mut self, entity: &Entity, count: usize) -> Result<bool, Stop> {
        self.store
            .delete(&key_of(self.entity_key, &entity.id))
            .await?;
        self.traffic.reads_since_last().await?;
        let values: &[(&str, &[u8])] = &[("id", entity.id.as_bytes())];
        let readers = self.instances[..count].iter().cycle().take(READS);
        let reads = readers.map(|instance| {
            instance
                .http
                .call(OperationName::EntityRead, values)
                .boxed()
        });
        let answers = join_all(reads).await;
        let queries = self.traffic.reads_since_last().await?;
        // A round that was cut short by an early answer had no more misses than a whole one.
        expect(
            (1..=QUERIES_MAX).contains(&queries.len()),
            format!(
                "{READS} concurrent misses on {count} instances to cost 1 to {QUERIES_MAX} queries"
            ),
            format!("{} queries, the first {:?}", queries.len(), queries.first()),
        )?;
        self.most_queries = self.most_queries.max(queries.len());
        let (mut last_called_us, mut first_returned_us) = (0, u64::MAX);
        for answer in answers {
            let answer = answer?;
            let right = answer.kind() == AnswerKind::Ok && answer.text().as_deref() == Some("one");
            expect(right, "every read to see the row", answer.describe())?;
            last_called_us = last_called_us.max(answer.called_us);
            first_returned_us = first_returned_us.min(answer.returned_us);
        }
        Ok(last_called_us < first_returned_us)
    }
}
