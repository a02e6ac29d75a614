//! HLTH-9: the same process through five outages, and health changes once for each.

use super::story::{Watch, Way, see_degraded};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::check::Check;
use touchstone_core::check::timeline::{FaultWindow, FollowsFaults, StoreSeen};
use touchstone_core::{Criterion, Profile};
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::scenario::{Context, Scenario, Stop, demand};
use touchstone_engine::store::StoreKind;

const CYCLES: usize = 5;

/// HLTH-9.
pub(super) const FIVE_CYCLES: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-9",
        statement: "Same process through 5 stop/start cycles of Redis; the transitions on the timeline match the fault windows one to one",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| five_cycles(context).boxed(),
};

async fn five_cycles(context: &Context) -> Result<(), Stop> {
    let watch = Watch::start(context).await?;
    let mut windows = Vec::new();
    for _ in 0..CYCLES {
        windows.push(cycle(context, &watch).await?);
    }
    let probes = watch.finish().await?;
    demand(
        FollowsFaults {
            store: StoreSeen::Redis,
            windows,
        }
        .check(&probes),
    )
}

/// One outage. It lasts until two probes have shown it, so that the window holds a probe to judge.
async fn cycle(context: &Context, watch: &Watch<'_>) -> Result<FaultWindow, Stop> {
    let redis = [StoreKind::Redis];
    let begins_us = context.clock().now_us();
    let fault = watch
        .lose(StoreKind::Redis, Way::Server(ServerFaultKind::Stop))
        .await?;
    let shown = see_degraded(context, &watch.prober, &redis).await?;
    see_degraded(context, &watch.prober, &redis).await?;
    let ends_us = context.clock().now_us();
    let restored = watch.regain(StoreKind::Redis, fault, &[]).await?;
    Ok(FaultWindow {
        begins_us,
        shown_from_us: shown.done_us,
        ends_us,
        restored_from_us: restored.done_us,
    })
}
