//! CACHE-3: an update, then a read: never the old value.

use super::client::Entity;
use crate::store_view::StoreView;
use crate::witness::Witness;
use futures::FutureExt;
use futures::future::{join, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use touchstone_core::{Criterion, Profile, Verdict};
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, Scenario, Stop, demand};
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::manifest::Template;

const ROUNDS: usize = 20;
const READERS: u32 = 4;
/// How long the cache may take to hold what is read again and again.
const PRIME_DEADLINE: Duration = Duration::from_secs(5);
const PRIME_POLL: Duration = Duration::from_millis(1);

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
    instances: [Arc<Instance>; 2],
    store: StoreView,
    entity_key: &'a Template,
    entity: Entity,
}

async fn never_old(context: &Context) -> Result<(), Stop> {
    use OperationName::{EntityCreate, EntityRead, EntityUpdate};
    context.require(&[EntityCreate, EntityRead, EntityUpdate])?;
    let manifest = Arc::clone(context.manifest());
    let entity_key = context.section("keys.entity", manifest.keys.entity.as_ref())?;
    let (environment, first) = context.start().await?;
    context.step("start a second instance");
    let second = environment.start_instance(&BTreeMap::new()).await?;
    let entity = Entity::create(&first.http, context.clock(), "v0").await?;
    let mut rounds = Rounds {
        instances: [first, second],
        store: StoreView::open(&environment).await?,
        entity_key,
        entity,
    };
    context.step(format!(
        "{ROUNDS} rounds: prime the cache, update among readers, read on both instances"
    ));
    let witness = Witness::start(&environment).await?;
    let (mut good, mut operations) = (0, 0);
    for round in 1..=2 * ROUNDS {
        let began = Instant::now();
        let ended = rounds.round(round).await;
        if let Verdict::Fail(finding) = rounds.entity.judge() {
            return Err(Stop::Fail(finding));
        }
        match ended {
            Ok(()) => good += 1,
            Err(stop) => {
                context.observe(witness.excuse(stop, began)?);
                operations += rounds.entity.operations();
                // What became of the disturbed update nobody knows: the next round takes another entity.
                let (http, value) = (&rounds.instances[0].http, format!("w{round}"));
                match Entity::create(http, context.clock(), &value).await {
                    Ok(entity) => rounds.entity = entity,
                    Err(stop) => context.observe(witness.excuse(stop, began)?),
                }
            }
        }
        if good == ROUNDS {
            operations += rounds.entity.operations();
            context.observe(format!("{operations} operations recorded and judged"));
            return demand(rounds.entity.judge());
        }
    }
    let reason = format!("slow stores left only {good} of {ROUNDS} rounds undisturbed");
    Err(Stop::unknown(reason))
}

impl Rounds<'_> {
    async fn round(&self, round: usize) -> Result<(), Stop> {
        self.prime().await?;
        self.update_among_readers(round).await
    }

    /// Reads until the entry lies in the store, then once on each instance: hits.
    async fn prime(&self) -> Result<(), Stop> {
        let key = self
            .entity_key
            .fill(|name| (name == "id").then(|| self.entity.id.clone()));
        let primed = poll_until(
            "the entry in the cache",
            PRIME_DEADLINE,
            PRIME_POLL,
            || async {
                let looked = async {
                    self.entity.read(&self.instances[0].http, 0).await?;
                    self.store.exists(&key).await
                };
                match looked.await {
                    Ok(true) => Look::Ready(Ok(())),
                    Ok(false) => Look::NotYet(format!("no key `{key}` after a read")),
                    Err(stop) => Look::Ready(Err(stop)),
                }
            },
        );
        // Without an entry nothing could be stale: no witness, no verdict.
        primed
            .await
            .map_err(|timeout| Stop::unknown(timeout.to_string()))??;
        for instance in &self.instances {
            self.entity.read(&instance.http, 0).await?;
        }
        Ok(())
    }

    /// One update while readers read; once it is acknowledged each instance is read at once.
    async fn update_among_readers(&self, round: usize) -> Result<(), Stop> {
        let (acknowledged, _) = watch::channel(false);
        let readers = (0..READERS).map(|number| {
            let over = acknowledged.subscribe();
            self.read_until(number + 2, over)
        });
        let readers = join_all(readers).map(|all| all.into_iter().collect::<Result<(), Stop>>());
        let (updater, other) = (&self.instances[round % 2], &self.instances[(round + 1) % 2]);
        let update = async {
            let updated = self
                .entity
                .update(&updater.http, 1, &format!("v{round}"))
                .await;
            let after = async {
                updated?;
                self.entity.read(&other.http, 1).await?;
                self.entity.read(&updater.http, 1).await
            };
            let after = after.await;
            acknowledged.send_replace(true);
            after
        };
        // Not `try_join`: an update that is dropped half-way would be missing in the record.
        let (updated, read) = join(update, readers).await;
        updated.and(read)
    }

    async fn read_until(&self, client: u32, over: watch::Receiver<bool>) -> Result<(), Stop> {
        let instance = &self.instances[client as usize % 2];
        loop {
            let was_over = *over.borrow();
            self.entity.read(&instance.http, client).await?;
            if was_over {
                return Ok(());
            }
        }
    }
}
