//! CACHE-10: the counters of hits and misses agree with what the tap saw.

use super::client::{Entity, filled, key_of};
use super::postgres_traffic::PostgresTraffic;
use crate::observe::figures::{Between, Figures};
use crate::store_view::StoreView;
use futures::FutureExt;
use futures::future::try_join_all;
use std::sync::Arc;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::proxy::{Cut, CutMode, Reject, ReplyKind};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::{CacheFigures, Template};

const HITS: usize = 5;
/// Reads of an entry that is not there, at once: each of them has missed.
const AT_ONCE: usize = 8;
const ABSENT_READS: usize = 4;
const FALLBACKS: usize = 3;
/// How an entry is read, whatever its type.
const READS: [&str; 6] = ["GET", "GETEX", "MGET", "HGET", "HGETALL", "JSON.GET"];

/// CACHE-10.
pub(super) const COUNTED: Scenario = Scenario {
    criterion: Criterion {
        id: "CACHE-10",
        statement: "Hit and miss counters agree with what the tap saw: each read through the cache is counted once, a remembered absence as a hit, a read that could not ask Redis as no hit",
        profile: Profile::Merge,
    },
    expected: std::time::Duration::from_secs(2),
    run: |context| counted(context).boxed(),
};

async fn counted(context: &Context) -> Result<(), Stop> {
    use OperationName::{EntityCreate, EntityRead};
    context.require(&[EntityCreate, EntityRead])?;
    let manifest = Arc::clone(context.manifest());
    let metrics = context.section("metrics", manifest.metrics.as_ref())?;
    let section = context.section("metrics.cache", metrics.cache.as_ref())?;
    let key = context.section("keys.entity", manifest.keys.entity.as_ref())?;
    let (environment, instance) = context.start().await?;
    let counters = Counters {
        context,
        section,
        key,
        figures: Figures::of(context, &instance)?,
        store: StoreView::open(&environment).await?,
        instance,
        environment: &environment,
    };
    counters.hits_and_misses().await?;
    counters.misses_at_once().await?;
    counters.absences().await?;
    counters.without_redis().await
}

struct Counters<'a> {
    context: &'a Context,
    section: &'a CacheFigures,
    key: &'a Template,
    figures: Figures<'a>,
    store: StoreView,
    instance: Arc<Instance>,
    environment: &'a Arc<Environment>,
}

/// What the tap saw of reads of one entry.
#[derive(Debug, Default, PartialEq)]
struct Looked {
    found: usize,
    not_found: usize,
}

impl Counters<'_> {
    async fn hits_and_misses(&self) -> Result<(), Stop> {
        self.context.step(format!("a miss, then {HITS} hits"));
        let entity = self.uncached("value").await?;
        let begin = self.figures.begin().await?;
        self.read(&entity).await?;
        filled(&self.store, &key_of(self.key, &entity.id)).await?;
        for _ in 0..HITS {
            self.read(&entity).await?;
        }
        let between = self.figures.until_now(begin).await?;
        self.agrees(&between, &entity.id, (HITS, 1))
    }

    async fn misses_at_once(&self) -> Result<(), Stop> {
        self.context.step(format!("{AT_ONCE} misses at once"));
        let entity = self.uncached("at once").await?;
        let begin = self.figures.begin().await?;
        let reads = (0..AT_ONCE).map(|_| async {
            let http = self.instance.http.with_new_connection();
            entity.read(&http, 0).await
        });
        try_join_all(reads).await?;
        let between = self.figures.until_now(begin).await?;
        let looked = self.looked(&between, &entity.id)?;
        self.agrees(&between, &entity.id, (looked.found, looked.not_found))
    }

    /// Of what does not exist. Whether that is remembered is CACHE-2's to judge; here the tap says.
    async fn absences(&self) -> Result<(), Stop> {
        self.context
            .step(format!("{ABSENT_READS} reads of what does not exist"));
        let last = self.uncached("the last").await?;
        let Ok(last) = last.id.parse::<i64>() else {
            self.context
                .observe("ids are no numbers: no id is known that does not exist");
            return Ok(());
        };
        let id = (last + 1000).to_string();
        let begin = self.figures.begin().await?;
        for _ in 0..ABSENT_READS {
            let values: &[(&str, &[u8])] = &[("id", id.as_bytes())];
            let http = &self.instance.http;
            let answer = http.call(OperationName::EntityRead, values).await?;
            expect(
                answer.kind() == AnswerKind::Absent,
                format!("entity `{id}` not to exist"),
                answer.describe(),
            )?;
        }
        let between = self.figures.until_now(begin).await?;
        let looked = self.looked(&between, &id)?;
        if let Some(absent) = &self.section.absent_hits {
            let (counted, found) = (between.risen(absent), looked.found as f64);
            expect(
                counted == found,
                format!(
                    "`{}` to rise by {found}: so often the tap saw the note",
                    absent.0
                ),
                format!("by {counted}"),
            )?;
        }
        self.agrees(&between, &id, (looked.found, looked.not_found))
    }

    /// Reads that Postgres alone answers.
    async fn without_redis(&self) -> Result<(), Stop> {
        let manifest = self.context.manifest();
        let works = manifest.degraded.as_ref().is_some_and(|degraded| {
            degraded
                .works_without_redis
                .contains(&OperationName::EntityRead)
        });
        let has_statement = manifest
            .cache
            .as_ref()
            .is_some_and(|c| c.read_statement.is_some());
        if !works || !has_statement {
            self.context.observe(
                "`degraded` and `cache.read_statement` do not say what a read does without Redis",
            );
            return Ok(());
        }
        self.context
            .step(format!("{FALLBACKS} reads without Redis"));
        let mut traffic = PostgresTraffic::watch(self.context, self.environment)?;
        let entity = self.uncached("fallback").await?;
        self.read(&entity).await?;
        filled(&self.store, &key_of(self.key, &entity.id)).await?;
        let (wiring, redis) = (&self.instance.wiring, StoreKind::Redis);
        let reject = self
            .environment
            .network_fault(wiring, redis, Reject)
            .await?;
        let cut = Cut {
            mode: CutMode::Reset,
        };
        drop(self.environment.network_fault(wiring, redis, cut).await?);
        let begin = self.figures.begin().await?;
        traffic.reads_since_last().await?;
        for _ in 0..FALLBACKS {
            self.read(&entity).await?;
        }
        let reads = traffic.reads_since_last().await?.len();
        let between = self.figures.until_now(begin).await?;
        reject.heal().await?;
        expect(
            reads == FALLBACKS,
            format!("{FALLBACKS} reads of Postgres while Redis is away"),
            format!("{reads}"),
        )?;
        let figure = self.section.fallbacks.as_ref();
        let figure = figure.unwrap_or(&self.section.misses);
        let counted = between.risen(figure);
        expect(
            counted == reads as f64,
            format!("`{}` to rise by {reads} without Redis", figure.0),
            format!("by {counted}"),
        )?;
        let hits = self.hits(&between);
        expect(
            hits == 0.0,
            "no hit counted while Redis is away",
            format!("{hits}"),
        )
    }

    /// The counters against the tap, and both against what was done.
    fn agrees(
        &self,
        between: &Between,
        id: &str,
        (hits, misses): (usize, usize),
    ) -> Result<(), Stop> {
        let looked = self.looked(between, id)?;
        let done = Looked {
            found: hits,
            not_found: misses,
        };
        expect(
            looked == done,
            format!("{hits} entries found and {misses} not, by the tap"),
            format!("{looked:?}"),
        )?;
        let counted = (self.hits(between), between.risen(&self.section.misses));
        self.context.observe(format!(
            "entity `{id}`: {hits} hits and {misses} misses on the wire, {} and {} counted",
            counted.0, counted.1
        ));
        expect(
            counted == (hits as f64, misses as f64),
            format!("{hits} hits and {misses} misses counted, as the tap saw"),
            format!("{} hits and {} misses", counted.0, counted.1),
        )
    }

    /// Those of absences are hits, too.
    fn hits(&self, between: &Between) -> f64 {
        let absent = self.section.absent_hits.as_ref();
        between.risen(&self.section.hits) + absent.map_or(0.0, |figure| between.risen(figure))
    }

    fn looked(&self, between: &Between, id: &str) -> Result<Looked, Stop> {
        let key = key_of(self.key, id);
        let mut looked = Looked::default();
        for command in &between.commands {
            let of_entry = command.keys.iter().any(|seen| **seen == *key.as_bytes());
            if !of_entry || !READS.contains(&&*command.name) {
                continue;
            }
            match command.reply.as_ref().map(|reply| &reply.kind) {
                Some(ReplyKind::Nil | ReplyKind::Aggregate(0)) => looked.not_found += 1,
                Some(ReplyKind::Bulk(_) | ReplyKind::Aggregate(_)) => looked.found += 1,
                other => {
                    let reason = format!("a read of `{key}` was answered with {other:?}");
                    return Err(Stop::unknown(reason));
                }
            }
        }
        Ok(looked)
    }

    /// One that Postgres has and the cache does not.
    async fn uncached(&self, value: &str) -> Result<Entity, Stop> {
        let (http, clock) = (&self.instance.http, self.context.clock());
        let entity = Entity::create(http, clock, value).await?;
        self.store.delete(&key_of(self.key, &entity.id)).await?;
        Ok(entity)
    }

    async fn read(&self, entity: &Entity) -> Result<String, Stop> {
        entity.read(&self.instance.http, 0).await
    }
}
