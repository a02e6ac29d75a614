//! HLTH-5 and HLTH-6: a store that is there and says nothing, frozen or behind a black hole.

use super::story::{Watch, Way};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::scenario::{Context, Scenario, Stop};
use touchstone_engine::store::StoreKind;

/// HLTH-5.
pub(super) const REDIS: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-5",
        statement: "Redis frozen, then black-holed (packets dropped, no reset): every probe answers within 1 s and shows it; none hangs",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(4),
    run: |context| silent(context, StoreKind::Redis).boxed(),
};

/// HLTH-6.
pub(super) const POSTGRES: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-6",
        statement: "Postgres frozen, then black-holed (packets dropped, no reset): every probe answers within 1 s and shows it; none hangs",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(4),
    run: |context| silent(context, StoreKind::Postgres).boxed(),
};

async fn silent(context: &Context, store: StoreKind) -> Result<(), Stop> {
    let watch = Watch::start(context).await?;
    watch
        .outage(&[store], Way::Server(ServerFaultKind::Freeze))
        .await?;
    watch.outage(&[store], Way::Blackhole).await?;
    watch.finish().await
}
