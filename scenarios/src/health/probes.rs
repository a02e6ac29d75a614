//! HLTH-8: what a probe costs Redis.

use crate::store_view::StoreView;
use futures::FutureExt;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use touchstone_core::timeline::ProbeAnswer;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::HealthSection;

const PROBES: usize = 200;
const PINGS_MAX: u64 = 20;
/// Answers may be shared for a while: the first burst alone could live on an earlier one.
const ROUNDS: usize = 3;
const POLL: Duration = Duration::from_millis(5);
/// Our witness asks with it; it is no heavier than PING either.
const OURS: &str = "echo";
/// Each look of ours is one, and is counted in the next.
const LOOK: &str = "info";

/// HLTH-8.
pub(super) const CHEAP: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-8",
        statement: "Health checks Redis with PING and nothing heavier; 200 concurrent probes cost at most 20 PINGs and open no connection",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| cheap(context).boxed(),
};

async fn cheap(context: &Context) -> Result<(), Stop> {
    let health = context.health()?.clone();
    let (environment, instance) = context.start().await?;
    let store = StoreView::open(&environment).await?;
    asks_with_ping(context, &store, &instance, &health).await?;
    for round in 1..=ROUNDS {
        context.step(format!("{PROBES} probes at once, round {round}"));
        burst(context, &store, &instance, &health).await?;
    }
    Ok(())
}

async fn burst(
    context: &Context,
    store: &StoreView,
    instance: &Instance,
    health: &HealthSection,
) -> Result<(), Stop> {
    let connections_before = connections(instance).await?;
    let before = store.command_counts().await?;
    let began = Instant::now();
    let answers = join_all((0..PROBES).map(|_| instance.http.get(&health.path))).await;
    let took = began.elapsed();
    let burst = since(&before, &store.command_counts().await?);
    let opened = connections(instance).await? - connections_before;
    for answer in answers {
        let described = match &answer {
            Ok(answer) => answer.describe(),
            Err(error) => error.to_string(),
        };
        let well = matches!(&health.read(&answer), ProbeAnswer::Health(seen) if seen.overall_ok);
        expect(well, "every probe answered with health ok", described)?;
    }
    let pings = burst.get("ping").copied().unwrap_or(0);
    context.observe(format!(
        "{PROBES} probes in {} ms cost {pings} PINGs",
        took.as_millis()
    ));
    expect(
        opened == 0,
        "no connection to Redis opened for a probe",
        format!("{opened} opened for {PROBES} probes"),
    )?;
    expect(
        pings <= PINGS_MAX,
        format!("at most {PINGS_MAX} PINGs for {PROBES} concurrent probes"),
        format!("{pings} PINGs"),
    )?;
    nothing_heavier(store, &burst, took).await
}

/// Health that does not ask at all would be cheap, too.
async fn asks_with_ping(
    context: &Context,
    store: &StoreView,
    instance: &Instance,
    health: &HealthSection,
) -> Result<(), Stop> {
    context.step("see that health makes it send PING");
    let before = store.command_counts().await?;
    let deadline = context.deadline(|d| d.health_notice_ms);
    poll_until("a PING of the subject", deadline, POLL, || async {
        if let Err(error) = instance.http.get(&health.path).await {
            return Look::NotYet(error.to_string());
        }
        match store.command_counts().await {
            Ok(now) if since(&before, &now).contains_key("ping") => Look::Ready(()),
            Ok(now) => Look::NotYet(format!("{:?}", since(&before, &now))),
            Err(stop) => Look::NotYet(format!("{stop:?}")),
        }
    })
    .await
    .or_fail("Redis checked with PING while probes come")
}

/// Whatever else was sent is sent without probes as well.
async fn nothing_heavier(
    store: &StoreView,
    burst: &BTreeMap<String, u64>,
    took: Duration,
) -> Result<(), Stop> {
    // As long again without a probe, for what the service does by itself.
    let before = store.command_counts().await?;
    // Not a wait for a state: what happens in that time is what is counted.
    tokio::time::sleep(took).await;
    let quiet = since(&before, &store.command_counts().await?);
    let of_probes = |(name, count): &(&String, &u64)| {
        let by_itself = quiet.get(*name).copied().unwrap_or(0);
        *name != "ping" && *name != OURS && **count > by_itself
    };
    let heavier: Vec<String> = burst
        .iter()
        .filter(of_probes)
        .map(|(name, count)| format!("{count} x {}", name.to_uppercase()))
        .collect();
    expect(
        heavier.is_empty(),
        "PING and no other command for a probe",
        heavier.join(", "),
    )
}

/// What was carried out between two looks, our own looks left out.
fn since(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let more = |(name, count): (&String, &u64)| {
        let looks = u64::from(name == LOOK);
        let more = count - before.get(name).copied().unwrap_or(0);
        let more = more.saturating_sub(looks);
        (more > 0).then(|| (name.clone(), more))
    };
    after.iter().filter_map(more).collect()
}

async fn connections(instance: &Instance) -> Result<usize, Stop> {
    Ok(instance.proxy(StoreKind::Redis).connections().await?.len())
}
