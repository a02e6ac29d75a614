//! CACHE-2: a row that does not exist is remembered as such, for a short time, and seen once it does.

use super::client::{filled, key_of};
use super::postgres_traffic::PostgresTraffic;
use crate::store_view::StoreView;
use futures::FutureExt;
use futures::future::{join, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::Template;
use touchstone_engine::subject::{Answer, OperationName};

const ROUNDS: usize = 20;
const READERS: usize = 4;
/// Reads on each instance after the create was acknowledged.
const READS_AFTER: usize = 3;

/// CACHE-2.
pub(super) const UNTIL_CREATED: Scenario = Scenario {
    criterion: Criterion {
        id: "CACHE-2",
        statement: "A row that does not exist: 404, remembered for a short time, and visible once created",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| until_created(context).boxed(),
};

struct Rounds<'a> {
    instances: [Arc<Instance>; 2],
    store: StoreView,
    traffic: PostgresTraffic,
    entity_key: &'a Template,
    longest_ms: u64,
}

async fn until_created(context: &Context) -> Result<(), Stop> {
    use OperationName::{EntityCreate, EntityRead};
    context.require(&[EntityCreate, EntityRead])?;
    let manifest = Arc::clone(context.manifest());
    let entity_key = context.section("keys.entity", manifest.keys.entity.as_ref())?;
    let cache = context.section("cache", manifest.cache.as_ref())?;
    let bound = cache.absent_ttl_seconds.as_ref();
    let longest_ms = context.section("cache.absent_ttl_seconds", bound)? * 1000;
    let environment = context.stores().await?;
    let traffic = PostgresTraffic::watch(context, &environment)?;
    context.step("start two instances");
    let first = environment.start_instance(&BTreeMap::new()).await?;
    let second = environment.start_instance(&BTreeMap::new()).await?;
    let mut rounds = Rounds {
        instances: [first, second],
        store: StoreView::open(&environment).await?,
        traffic,
        entity_key,
        longest_ms,
    };
    let foreseen = rounds.foresee().await?;
    context.step(format!("{ROUNDS} rounds: miss, remember, create, see"));
    let mut reads = 0;
    for (round, id) in (0..ROUNDS).zip(foreseen) {
        let id = id.to_string();
        rounds.is_remembered(&id, round).await?;
        reads += rounds.is_seen_once_created(&id, round).await?;
    }
    context.observe(format!(
        "{reads} reads while and after {ROUNDS} foreseen rows were created"
    ));
    Ok(())
}

impl Rounds<'_> {
    /// The ids of the rows to come, from those of two that are created.
    async fn foresee(&self) -> Result<impl Iterator<Item = i64> + use<>, Stop> {
        let (first, second) = (self.create("one", 0).await?, self.create("two", 1).await?);
        let number = |answer: &Answer| answer.text().and_then(|id| id.parse::<i64>().ok());
        let (Some(first), Some(second)) = (number(&first), number(&second)) else {
            let reason = "the ids are no numbers, so that none can be foreseen";
            return Err(Stop::unknown(reason));
        };
        let step = second - first;
        Ok((1..).map(move |count| second + count * step))
    }

    async fn create(&self, value: &str, instance: usize) -> Result<Answer, Stop> {
        let http = &self.instances[instance % 2].http;
        let name = OperationName::EntityCreate;
        let answer = http.call(name, &[("value", value.as_bytes())]).await?;
        let created = answer.kind() == AnswerKind::Ok;
        expect(created, "a create to work", answer.describe())?;
        Ok(answer)
    }

    async fn read(&self, id: &str, instance: usize) -> Result<Answer, Stop> {
        let http = &self.instances[instance % 2].http;
        let values: &[(&str, &[u8])] = &[("id", id.as_bytes())];
        Ok(http.call(OperationName::EntityRead, values).await?)
    }

    async fn is_absent(&self, id: &str, instance: usize) -> Result<(), Stop> {
        let answer = self.read(id, instance).await?;
        let absent = answer.kind() == AnswerKind::Absent;
        let expected = "a row that does not exist to be answered as absent";
        expect(absent, expected, answer.describe())
    }

    /// Read once from Postgres, then from memory by both instances, until it expires; all of it twice.
    async fn is_remembered(&mut self, id: &str, round: usize) -> Result<(), Stop> {
        let key = key_of(self.entity_key, id);
        for first in [round, round + 1] {
            self.traffic.reads_since_last().await?;
            self.is_absent(id, first).await?;
            let left_ms = filled(&self.store, &key).await?;
            for instance in [first + 1, first] {
                self.is_absent(id, instance).await?;
            }
            let reads = self.traffic.reads_since_last().await?;
            expect(
                reads.len() == 1,
                "three reads of a row that does not exist to read Postgres once",
                format!("{} reads: {reads:?}", reads.len()),
            )?;
            expect(
                u64::try_from(left_ms).is_ok_and(|left_ms| left_ms <= self.longest_ms),
                format!(
                    "the absence remembered under `{key}`, for {} ms at most",
                    self.longest_ms
                ),
                format!("PTTL {left_ms}"),
            )?;
            if first == round {
                self.store.expire_now(&key).await?;
            }
        }
        Ok(())
    }

    /// Creates it among readers. Returns how many reads there were.
    async fn is_seen_once_created(&self, id: &str, round: usize) -> Result<usize, Stop> {
        let over = AtomicBool::new(false);
        let value = format!("created {round}");
        let create = async {
            let created = self.create(&value, round).await;
            let after = async {
                let mut reads = Vec::new();
                for instance in (0..2).cycle().take(2 * READS_AFTER) {
                    reads.push(self.read(id, round + instance + 1).await?);
                }
                Ok::<_, Stop>(reads)
            };
            let after = after.await;
            over.store(true, Ordering::Relaxed);
            Ok::<_, Stop>((created?, after?))
        };
        let readers = join_all((0..READERS).map(|reader| self.read_until(id, reader, &over)));
        let (created, read) = join(create, readers).await;
        let (created, mut reads) = created?;
        if created.text().as_deref() != Some(id) {
            let got = created.text().unwrap_or_default();
            let reason = format!("`{id}` was foreseen, `{got}` was created");
            return Err(Stop::unknown(reason));
        }
        for read in read {
            reads.extend(read?);
        }
        for read in &reads {
            let seen = read.kind() == AnswerKind::Ok && read.text().as_ref() == Some(&value);
            let not_yet =
                read.kind() == AnswerKind::Absent && read.called_us <= created.returned_us;
            expect(
                seen || not_yet,
                format!(
                    "`{value}`, whose creation was acknowledged at {} us, before this read began at {} us",
                    created.returned_us, read.called_us
                ),
                read.describe(),
            )?;
        }
        Ok(reads.len())
    }

    async fn read_until(
        &self,
        id: &str,
        reader: usize,
        over: &AtomicBool,
    ) -> Result<Vec<Answer>, Stop> {
        let mut reads = Vec::new();
        while !over.load(Ordering::Relaxed) {
            reads.push(self.read(id, reader).await?);
        }
        Ok(reads)
    }
}
