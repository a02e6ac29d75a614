//! HLTH-9: the same process through five outages, and health changes once for each.

use super::story::{Watch, Way};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::scenario::{Context, Scenario, Stop};
use touchstone_engine::store::StoreKind;

const CYCLES: usize = 5;

/// HLTH-9.
pub(super) const FIVE_CYCLES: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-9",
        statement: "Same process through 5 stop/start cycles of Redis; the transitions on the timeline match the fault windows one to one",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(9),
    run: |context| five_cycles(context).boxed(),
};

async fn five_cycles(context: &Context) -> Result<(), Stop> {
    let watch = Watch::start(context).await?;
    for _ in 0..CYCLES {
        watch
            .outage(&[StoreKind::Redis], Way::Server(ServerFaultKind::Stop))
            .await?;
    }
    watch.finish().await
}
