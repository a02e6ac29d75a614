//! CACHE-4: the stale-set race, forced. A reader missed and has read the old row; before it fills the cache an update
//! is acknowledged; nobody may see the old row afterwards.
//!
//! Three ways, on two instances each behind its own proxy: the reader's last command to Redis (the fill) is
//! held; the row that Postgres sends it is held; and then all orders of what a reader and an updater send.

use super::client::Entity;
use crate::store_view::StoreView;
use futures::FutureExt;
use futures::future::{BoxFuture, join};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use touchstone_core::fault::FaultRecord;
use touchstone_core::interleaving::Orders;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::When;
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, demand};
use touchstone_engine::schedule::{Hold, Stepped, Traced, run_order};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::manifest::Template;

/// Below the response timeouts that services have (the `redis` crate: 500 ms): one that gives up on a held command
/// does not do what is to be forced.
const HOLD_LONGEST: Duration = Duration::from_millis(400);
/// Three steps of a reader and five of an updater have 56 orders.
const ORDERS_MAX: usize = 120;
/// A fill that comes after the answer comes soon.
const FILL_DEADLINE: Duration = Duration::from_secs(2);
const FILL_POLL: Duration = Duration::from_millis(1);
const READER: u32 = 1;
const UPDATER: u32 = 2;

/// CACHE-4.
pub(super) const NO_STALE_SET: Scenario = Scenario {
    criterion: Criterion {
        id: "CACHE-4",
        statement: "A reader that read the old row before an update was acknowledged does not bring it back into the cache",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(4),
    run: |context| no_stale_set(context).boxed(),
};

/// Where the reader is held.
#[derive(Debug, Clone, Copy)]
enum HeldAt {
    Fill,
    Row,
}

struct Race<'a> {
    context: &'a Context,
    environment: Arc<Environment>,
    reader: Arc<Instance>,
    updater: Arc<Instance>,
    store: StoreView,
    key: Template,
}

async fn no_stale_set(context: &Context) -> Result<(), Stop> {
    use OperationName::{EntityCreate, EntityRead, EntityUpdate};
    context.require(&[EntityCreate, EntityRead, EntityUpdate])?;
    let key = context.manifest().keys.entity.as_ref();
    let key = context.section("keys.entity", key)?.clone();
    let (environment, reader) = context.start().await?;
    context.step("start a second instance");
    let updater = environment.start_instance(&BTreeMap::new()).await?;
    let race = Race {
        context,
        store: StoreView::open(&environment).await?,
        environment,
        reader,
        updater,
        key,
    };
    let read = race.trace_of_a_miss().await?;
    // A way that could not be forced does not keep the others from finding what is wrong.
    let mut not_forced = Ok(());
    for at in [HeldAt::Fill, HeldAt::Row] {
        match race.update_past_a_held_reader(at, &read, false).await {
            Err(unknown @ Stop::Unknown { .. }) => not_forced = Err(unknown),
            ended => ended?,
        }
    }
    let operations = &context.manifest().operations;
    if operations.contains_key(&OperationName::EntityInvalidate) {
        match race
            .update_past_a_held_reader(HeldAt::Fill, &read, true)
            .await
        {
            Err(unknown @ Stop::Unknown { .. }) => not_forced = Err(unknown),
            ended => ended?,
        }
    }
    race.all_orders(&read).await?;
    not_forced
}

impl Race<'_> {
    /// What a reader sends on a miss: its last command to Redis is the fill.
    async fn trace_of_a_miss(&self) -> Result<Traced, Stop> {
        self.context.step("trace a read that misses");
        // The first of a kind sends more: scripts that are loaded, statements that are prepared.
        let first = self.uncached_entity("first").await?;
        first.read(&self.reader.http, READER).await?;
        first.update(&self.updater.http, UPDATER, "updated").await?;
        let entity = self.uncached_entity("traced").await?;
        let begin = Traced::begin(&self.reader.wiring).await?;
        entity.read(&self.reader.http, READER).await?;
        // A service may fill the cache after it has answered.
        self.until_cached(&entity).await?;
        let read = Traced::since(begin, &self.reader.wiring, &self.about()).await?;
        for line in read.told(None) {
            self.context.observe(format!("a miss sends {line}"));
        }
        Ok(read)
    }

    /// Perhaps somebody also takes the entry out of the cache: that must leave what stops the reader.
    async fn update_past_a_held_reader(
        &self,
        at: HeldAt,
        read: &Traced,
        invalidate: bool,
    ) -> Result<(), Stop> {
        let entity = self.uncached_entity("old").await?;
        let hold = self.hold(at, read).await?;
        let held_and_past = async {
            let caught = hold.caught().await;
            caught.map_err(|timeout| Stop::unknown(timeout.to_string()))?;
            self.context.step(format!(
                "the reader is held at its {at:?}; update, then let go"
            ));
            entity.update(&self.updater.http, UPDATER, "new").await?;
            if invalidate {
                let values: &[(&str, &[u8])] = &[("id", entity.id.as_bytes())];
                let http = &self.updater.http;
                http.call(OperationName::EntityInvalidate, values).await?;
            }
            hold.release().await
        };
        let (read, past) = join(entity.read(&self.reader.http, READER), held_and_past).await;
        if past.is_err() {
            // Forced or not: what is stale is stale.
            self.judge_reads(&entity).await?;
        }
        past?;
        read?;
        self.judge_reads(&entity).await
    }

    async fn hold(&self, at: HeldAt, read: &Traced) -> Result<Hold, Stop> {
        let (environment, of) = (&self.environment, &self.reader.wiring);
        match at {
            HeldAt::Fill => {
                let fills = read.count(StoreKind::Redis) as u64;
                let fill = When::any().key(&self.key_of("*")).nth(fills);
                let hold = Hold::command(environment, of, StoreKind::Redis, fill, HOLD_LONGEST);
                Ok(hold.await?)
            }
            HeldAt::Row => {
                // The statement that gave the row; what came before it may be missing now, as prepared before.
                let row = read.last_rows().ok_or_else(|| {
                    Stop::fail(
                        "a miss to read a row from Postgres",
                        "no statement gave one",
                    )
                })?;
                let row = When::any().key(&row).nth(1);
                let hold = Hold::reply(environment, of, StoreKind::Postgres, row, HOLD_LONGEST);
                Ok(hold.await?)
            }
        }
    }

    /// Every order of what a reader that misses and an updater send.
    async fn all_orders(&self, read: &Traced) -> Result<(), Stop> {
        let update = self.trace_of_an_update().await?;
        let steps = [read.commands.len(), update.commands.len()];
        let orders = Orders::of(&steps, ORDERS_MAX, self.context.seed());
        self.context.step(format!(
            "{} of {} orders of a reader's {} and an updater's {} commands",
            orders.chosen.len(),
            orders.total,
            steps[0],
            steps[1]
        ));
        let (mut covered, mut not_kept) = (0, 0);
        for order in &orders.chosen {
            match self.one_order(order).await? {
                true => covered += 1,
                false => not_kept += 1,
            }
        }
        let told = format!(
            "{covered} of {} orders ran, {not_kept} could not be kept",
            orders.total
        );
        self.context.observe(&told);
        self.environment.note_fault(FaultRecord {
            name: "orders".to_owned(),
            target: "redis and postgres of instances 0 and 1".to_owned(),
            parameters: BTreeMap::from([
                ("steps".to_owned(), format!("{} and {}", steps[0], steps[1])),
                ("orders".to_owned(), orders.chosen.len().to_string()),
            ]),
            injected_at_us: 0,
            healed_at_us: None,
            bite: (covered > 0).then(|| told.clone()),
        });
        match not_kept {
            0 => Ok(()),
            _ => Err(Stop::unknown(told)),
        }
    }

    async fn trace_of_an_update(&self) -> Result<Traced, Stop> {
        let entity = self.uncached_entity("traced").await?;
        let begin = Traced::begin(&self.updater.wiring).await?;
        entity
            .update(&self.updater.http, UPDATER, "updated")
            .await?;
        Ok(Traced::since(begin, &self.updater.wiring, &self.about()).await?)
    }

    /// Whether the order was kept; fails with the order as evidence.
    async fn one_order(&self, order: &[usize]) -> Result<bool, Stop> {
        let entity = self.uncached_entity("old").await?;
        let about = self.about();
        let actors = [
            Stepped::hold("reader", &self.reader.wiring, &about, HOLD_LONGEST).await?,
            Stepped::hold("updater", &self.updater.wiring, &about, HOLD_LONGEST).await?,
        ];
        let requests: Vec<BoxFuture<'_, _>> = vec![
            entity.read(&self.reader.http, READER).boxed(),
            entity.update(&self.updater.http, UPDATER, "new").boxed(),
        ];
        let (driven, outcomes) = run_order(order, &actors, requests).await?;
        drop(actors);
        match self.judge_reads(&entity).await {
            Err(Stop::Proven(mut finding)) => {
                let told = "the commands were let go in this order:".to_owned();
                finding.evidence.push(told);
                finding.evidence.extend(driven.steps);
                return Err(Stop::Proven(finding));
            }
            _ if driven.overdue > 0 => return Ok(false),
            judged => judged?,
        }
        for outcome in outcomes {
            outcome?;
        }
        Ok(true)
    }

    /// Both instances read; the whole history may hold no stale read. That one began after an update was acknowledged
    /// is so whatever was slow.
    async fn judge_reads(&self, entity: &Entity) -> Result<(), Stop> {
        let mut read = Ok(());
        for instance in [&self.reader, &self.updater] {
            read = read.and(entity.read(&instance.http, READER).await.map(drop));
        }
        demand(entity.judge()).map_err(Stop::whatever_stalled)?;
        read
    }

    async fn uncached_entity(&self, value: &str) -> Result<Entity, Stop> {
        let entity = Entity::create(&self.updater.http, self.context.clock(), value).await?;
        self.store.delete(&self.key_of(&entity.id)).await?;
        Ok(entity)
    }

    async fn until_cached(&self, entity: &Entity) -> Result<(), Stop> {
        let key = self.key_of(&entity.id);
        let filled = poll_until("the fill", FILL_DEADLINE, FILL_POLL, || async {
            match self.store.exists(&key).await {
                Ok(true) => Look::Ready(()),
                Ok(false) => Look::NotYet(format!("no `{key}` in the store")),
                Err(stop) => Look::NotYet(format!("{stop:?}")),
            }
        });
        filled.await.or_fail("a read that misses to fill the cache")
    }

    /// What belongs to a request about an entity.
    fn about(&self) -> [(StoreKind, When); 2] {
        [
            (StoreKind::Redis, When::any().key(&self.key_of("*"))),
            (StoreKind::Postgres, When::any()),
        ]
    }

    fn key_of(&self, id: &str) -> String {
        self.key.fill(|name| (name == "id").then(|| id.to_owned()))
    }
}
