//! HLTH-13: liveness is about the process, readiness about the stores.

use super::story::{GRACE, ROW, Watch, Way, is, judge_answers};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::check::Check;
use touchstone_core::check::timeline::{FaultWindow, FollowsFaults, StoreSeen};
use touchstone_core::timeline::Probe;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::prober::Prober;
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, demand};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::health::Watched;
use touchstone_engine::subject::manifest::Deadlines;

/// HLTH-13.
pub(super) const FOLLOW: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-13",
        statement: "Liveness stays 200 through any store outage; readiness follows the stores",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(7),
    run: |context| follow(context).boxed(),
};

async fn follow(context: &Context) -> Result<(), Stop> {
    let health = context.health()?;
    let (ok, not_ok) = (health.ok_status, health.degraded_status);
    let status = |path: &String| Watched::Status {
        path: path.clone(),
        ok,
        not_ok,
    };
    let live = status(context.section("health.live_path", health.live_path.as_ref())?);
    let ready = status(context.section("health.ready_path", health.ready_path.as_ref())?);
    let watch = Watch::start(context).await?;
    let live = context.probe_what(&watch.instance, live)?;
    let ready = context.probe_what(&watch.instance, ready)?;
    let both = StoreKind::ALL;
    let outages: [(&[StoreKind], ServerFaultKind); 3] = [
        (&[StoreKind::Redis], ServerFaultKind::Stop),
        (&[StoreKind::Postgres], ServerFaultKind::Stop),
        (&both, ServerFaultKind::Freeze),
    ];
    see(context, &ready, true, |d| d.recover_ms).await?;
    see(context, &live, true, |d| d.recover_ms).await?;
    let mut windows = Vec::new();
    for (stores, kind) in outages {
        windows.push(outage(&watch, &ready, stores, kind).await?);
    }
    watch.finish().await?;
    judge(context, live.finish().await?, Vec::new())?;
    judge(context, ready.finish().await?, windows)
}

/// Readiness goes with the first store that is lost, and comes with the last one that is back.
async fn outage(
    watch: &Watch<'_>,
    ready: &Prober,
    stores: &[StoreKind],
    kind: ServerFaultKind,
) -> Result<FaultWindow, Stop> {
    let context = watch.context;
    let begins_us = context.clock().now_us();
    let losses = watch.lose(stores, Way::Server(kind)).await?;
    let shown_from_us = see(context, ready, false, |d| d.health_notice_ms)
        .await?
        .sent_us;
    watch.hold(&losses).await?;
    let ends_us = context.clock().now_us();
    watch.regain(losses).await?;
    let restored_from_us = see(context, ready, true, |d| d.recover_ms).await?.sent_us;
    Ok(FaultWindow {
        begins_us,
        shown_from_us,
        ends_us,
        restored_from_us,
    })
}

/// A row of probes from now on, within a deadline.
async fn see(
    context: &Context,
    prober: &Prober,
    wanted: bool,
    pick: fn(&Deadlines) -> u64,
) -> Result<Probe, Stop> {
    let what = if wanted { "200" } else { "not ready" };
    let from_us = context.clock().now_us();
    let seen = prober
        .wait_for_row(
            what,
            (from_us, ROW),
            context.deadline(pick) + GRACE,
            |answer| is(answer, |seen| seen.overall_ok == wanted),
        )
        .await
        .or_fail(format!(
            "{what} within {} ms",
            pick(&context.manifest().deadlines)
        ))?;
    let took = Duration::from_micros(seen.done_us.saturating_sub(from_us));
    context.met(what, pick, took)?;
    Ok(seen)
}

fn judge(context: &Context, probes: Vec<Probe>, windows: Vec<FaultWindow>) -> Result<(), Stop> {
    judge_answers(context, &probes)?;
    // A status speaks for both stores at once, so either of them stands for it.
    let store = StoreSeen::Redis;
    demand(FollowsFaults { store, windows }.check(&probes))
}
