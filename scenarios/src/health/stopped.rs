//! HLTH-2 to HLTH-4: a store is stopped, and comes back.

use super::story::{Watch, Way};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::scenario::{Context, Scenario, Stop};
use touchstone_engine::store::StoreKind;

/// HLTH-2.
pub(super) const REDIS: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-2",
        statement: "Redis stopped: 503, degraded, redis disconnected and postgres still connected, first seen 1 s or less after the stop",
        profile: Profile::Merge,
    },
    expected: Duration::from_millis(2_000),
    run: |context| stopped(context, &[StoreKind::Redis]).boxed(),
};

/// HLTH-3.
pub(super) const POSTGRES: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-3",
        statement: "Postgres stopped: 503, degraded, postgres disconnected and redis still connected, first seen 1 s or less after the stop",
        profile: Profile::Merge,
    },
    expected: Duration::from_millis(2_000),
    run: |context| stopped(context, &[StoreKind::Postgres]).boxed(),
};

/// HLTH-4.
pub(super) const BOTH: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-4",
        statement: "Both stores stopped: both disconnected; each comes back on its own",
        profile: Profile::Merge,
    },
    expected: Duration::from_millis(2_000),
    run: |context| stopped(context, &StoreKind::ALL).boxed(),
};

async fn stopped(context: &Context, stores: &[StoreKind]) -> Result<(), Stop> {
    let watch = Watch::start(context).await?;
    watch
        .outage(stores, Way::Server(ServerFaultKind::Stop))
        .await?;
    watch.finish().await
}
