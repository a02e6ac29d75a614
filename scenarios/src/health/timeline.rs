//! HLTH-7: one timeline through every kind of outage.

use super::story::{Watch, Way};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::scenario::{Context, Scenario, Stop};
use touchstone_engine::store::StoreKind;

/// HLTH-7.
pub(super) const EVERY_OUTAGE: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-7",
        statement: "Every probe in every outage answers within its deadline: the timeline at 20 probes/s through kills, freezes and black holes of both stores holds no gap longer than it",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(12),
    run: |context| every_outage(context).boxed(),
};

async fn every_outage(context: &Context) -> Result<(), Stop> {
    let watch = Watch::start(context).await?;
    for way in [
        Way::Server(ServerFaultKind::Kill),
        Way::Server(ServerFaultKind::Freeze),
        Way::Blackhole,
    ] {
        for store in StoreKind::ALL {
            watch.outage(&[store], way).await?;
        }
    }
    watch.finish().await
}
