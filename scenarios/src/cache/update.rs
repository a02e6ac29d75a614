//! CACHE-3: an update, then a read: never the old value.

use super::client::Entity;
use crate::store_view::StoreView;
use futures::FutureExt;
use futures::future::{join, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use touchstone_core::{Criterion, Profile, Verdict};
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, Scenario, Stop, demand};
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::manifest::Template;
use touchstone_engine::witness::Witness;

const ROUNDS: usize = 20;
const READERS: u32 = 4;

/// CACHE-3.
pub(super) const NEVER_OLD: Scenario = Scenario {
    criterion: Criterion {
        id: "CACHE-3",
        statement: "Update, then read: never the old value once the update was acknowledged",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| never_old(context).boxed(),
};

/// What every round needs.
struct Rounds<'a> {
    context: &'a Context,
    instances: [Arc<Instance>; 2],
    store: StoreView,
    entity_key: &'a Template,
    witness: Witness,
}

async fn never_old(context: &Context) -> Result<(), Stop> {
    use OperationName::{EntityCreate, EntityRead, EntityUpdate};
    context.require(&[EntityCreate, EntityRead, EntityUpdate])?;
    let manifest = Arc::clone(context.manifest());
    let entity_key = context.section("keys.entity", manifest.keys.entity.as_ref())?;
    let (environment, first) = context.start().await?;
    context.step("start a second instance");
    let second = environment.start_instance(&BTreeMap::new()).await?;
    let rounds = Rounds {
        context,
        instances: [first, second],
        store: StoreView::open(&environment).await?,
        entity_key,
        witness: context.witness()?,
    };
    context.step(format!(
        "{ROUNDS} rounds: prime the cache, update among readers, read on both instances"
    ));
    rounds.run().await
}

impl Rounds<'_> {
    /// As many rounds as are due; those that slow stores disturbed are repeated, within reason.
    async fn run(&self) -> Result<(), Stop> {
        let (mut good, mut operations, mut current) = (0, 0, None);
        for round in 1..=2 * ROUNDS {
            let began = Instant::now();
            let ended = self.round(&mut current, round).await;
            if let Some(Verdict::Fail(finding)) = current.as_ref().map(Entity::judge) {
                return Err(Stop::Fail(finding));
            }
            match ended {
                Ok(()) => good += 1,
                Err(stop) => {
                    self.context.observe(self.witness.excuse(stop, began)?);
                    // What became of a disturbed update nobody knows: on with another entity.
                    operations += current.take().map_or(0, |entity| entity.operations());
                }
            }
            if let Some(entity) = current.as_ref().filter(|_| good == ROUNDS) {
                operations += entity.operations();
                let told = format!("{operations} operations recorded and judged");
                self.context.observe(told);
                return demand(entity.judge());
            }
        }
        let reason = format!("slow stores left only {good} of {ROUNDS} rounds undisturbed");
        Err(Stop::unknown(reason))
    }

    /// One round, on a new entity if there is none yet.
    async fn round(&self, current: &mut Option<Entity>, round: usize) -> Result<(), Stop> {
        let entity = match current {
            Some(entity) => entity,
            None => {
                let (http, clock) = (&self.instances[0].http, self.context.clock());
                current.insert(Entity::create(http, clock, &format!("new {round}")).await?)
            }
        };
        entity
            .prime(&self.instances, &self.store, self.entity_key)
            .await?;
        self.update_among_readers(entity, round).await
    }

    /// One update while readers read; once it is acknowledged each instance is read at once.
    async fn update_among_readers(&self, entity: &Entity, round: usize) -> Result<(), Stop> {
        let (acknowledged, _) = watch::channel(false);
        let readers = (0..READERS).map(|number| {
            let over = acknowledged.subscribe();
            self.read_until(entity, number + 2, over)
        });
        let readers = join_all(readers).map(|all| all.into_iter().collect::<Result<(), Stop>>());
        let (updater, other) = (&self.instances[round % 2], &self.instances[(round + 1) % 2]);
        let update = async {
            let updated = entity.update(&updater.http, 1, &format!("v{round}")).await;
            let after = async {
                updated?;
                entity.read(&other.http, 1).await?;
                entity.read(&updater.http, 1).await
            };
            let after = after.await;
            acknowledged.send_replace(true);
            after
        };
        // Not `try_join`: an update that is dropped half-way would be missing in the record.
        let (updated, read) = join(update, readers).await;
        updated.and(read)
    }

    async fn read_until(
        &self,
        entity: &Entity,
        client: u32,
        over: watch::Receiver<bool>,
    ) -> Result<(), Stop> {
        let instance = &self.instances[client as usize % 2];
        loop {
            let was_over = *over.borrow();
            entity.read(&instance.http, client).await?;
            if was_over {
                return Ok(());
            }
        }
    }
}
