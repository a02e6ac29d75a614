//! HLTH-12: a slow line is no outage, one that is slower than the health timeout is.

use super::story::{GRACE, HOLD_MARGIN, Watch, Way, late};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::prober::PROBE_PERIOD;
use touchstone_engine::scenario::{Context, Scenario, Stop};
use touchstone_engine::store::StoreKind;

/// What a round trip may take without being called an outage.
const BEARABLE: Duration = Duration::from_millis(200);

/// HLTH-12.
pub(super) const SLOW_LINE: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-12",
        statement: "Latency of 200 ms on the Redis link does not degrade health; latency above the health timeout does",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(5),
    run: |context| slow_line(context).boxed(),
};

async fn slow_line(context: &Context) -> Result<(), Stop> {
    let declared = context.health()?.redis_timeout_ms;
    let timeout_ms = *context.section("health.redis_timeout_ms", declared.as_ref())?;
    let watch = Watch::start(context).await?;
    bear(&watch).await?;
    // Half as much again: no reply comes in time, whatever the service does meanwhile.
    let too_late = Duration::from_millis(timeout_ms * 3 / 2);
    watch
        .outage(&[StoreKind::Redis], Way::Late(too_late))
        .await?;
    watch.finish().await
}

/// Every probe of this time is judged at the end, with those of all other times outside of an outage.
async fn bear(watch: &Watch<'_>) -> Result<(), Stop> {
    let context = watch.context;
    context.step(format!("replies of Redis {} ms late", BEARABLE.as_millis()));
    let fault = watch
        .environment
        .network_fault(&watch.instance.wiring, StoreKind::Redis, late(BEARABLE))
        .await?;
    let hold = context.deadline(|d| d.health_answer_ms) + HOLD_MARGIN;
    let began_us = context.clock().now_us();
    let over = poll_until(
        "the slow line to last",
        hold + GRACE,
        PROBE_PERIOD,
        || async {
            let since = Duration::from_micros(context.clock().now_us() - began_us);
            match fault.bite() {
                Some(_) if since >= hold => Look::Ready(()),
                bite => Look::NotYet(format!("{bite:?}")),
            }
        },
    );
    // A latency that never bites is the executor's to judge.
    let _ = over.await;
    fault.heal().await?;
    Ok(())
}
