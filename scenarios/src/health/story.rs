//! The story that the outage criteria share: well before, noticed during, well again after.

use std::time::Duration;
use touchstone_core::check::Check;
use touchstone_core::check::timeline::AnswersInTime;
use touchstone_core::timeline::{HealthSeen, Probe, ProbeAnswer};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::{FaultGuard, ServerFaultKind};
use touchstone_engine::prober::Prober;
use touchstone_engine::scenario::{Context, OrFail, Stop, demand, expect};
use touchstone_engine::store::StoreKind;

/// Our own prober may be late by this much and still be a witness of a gap of a second.
const OWN_DELAY_MAX_US: u64 = 200_000;

/// Waiting for a state has a limit beyond its deadline, so that a late one is told with its time.
const GRACE: Duration = Duration::from_secs(3);

/// Which stores go away together, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    pub(super) stores: &'static [StoreKind],
    pub(super) kind: ServerFaultKind,
}

/// Injects the outage, watches health through it, heals the stores one after the other, and judges
/// the whole timeline.
pub(super) async fn watch_outage(context: &Context, outage: Outage) -> Result<(), Stop> {
    let (environment, instance) = context.start().await?;
    let prober = context.probe(&instance)?;
    let pid = instance.pid();
    see_steady(context, &prober, "before the fault").await?;
    let mut faults = Vec::new();
    for store in outage.stores {
        context.step(format!("{:?} {store}", outage.kind));
        faults.push((*store, environment.fault(*store, outage.kind).await?));
    }
    see_degraded(context, &prober, outage.stores).await?;
    let mut away: Vec<StoreKind> = outage.stores.to_vec();
    for (store, fault) in faults {
        away.retain(|other| *other != store);
        heal_and_see(context, &environment, &prober, (store, fault), &away).await?;
    }
    expect(
        instance.exit().is_none() && instance.pid() == pid,
        "the same process before and after the outage",
        format!("{:?}", instance.exit()),
    )?;
    judge_answers(context, prober.finish().await)
}

/// The steady state: health says that all is well.
pub(super) async fn see_steady(
    context: &Context,
    prober: &Prober,
    when: &str,
) -> Result<Probe, Stop> {
    context.step(format!("see health ok {when}"));
    let from_us = context.clock().now_us();
    let deadline = context.deadline(|d| d.recover_ms) + GRACE;
    prober
        .wait_for("health ok", from_us, deadline, |answer| {
            is(answer, |seen| seen.overall_ok)
        })
        .await
        .or_fail(format!("health 200, ok, both stores connected, {when}"))
}

/// Health shows exactly these stores as away, in time.
pub(super) async fn see_degraded(
    context: &Context,
    prober: &Prober,
    away: &[StoreKind],
) -> Result<(), Stop> {
    let gone_us = context.clock().now_us();
    let deadline = context.deadline(|d| d.health_notice_ms);
    let what = format!("health degraded with {} disconnected", names(away));
    let probe = prober
        .wait_for(&what, gone_us, deadline + GRACE, |answer| {
            is(answer, |seen| shows(seen, away))
        })
        .await
        .or_fail(format!(
            "{what}, the other connected, within {} ms",
            deadline.as_millis()
        ))?;
    context.observe(probe.describe());
    let took = Duration::from_micros(probe.done_us.saturating_sub(gone_us));
    context.met(&what, |d| d.health_notice_ms, took)
}

/// Heals one store and sees it come back, the ones still away unchanged.
pub(super) async fn heal_and_see(
    context: &Context,
    environment: &Environment,
    prober: &Prober,
    (store, fault): (StoreKind, FaultGuard),
    still_away: &[StoreKind],
) -> Result<(), Stop> {
    context.step(format!("heal {store}"));
    fault.heal().await?;
    environment.store(store).wait_ready().await?;
    let ready_us = context.clock().now_us();
    let deadline = context.deadline(|d| d.recover_ms);
    let what = format!("health shows {store} connected again");
    let probe = prober
        .wait_for(&what, ready_us, deadline + GRACE, |answer| {
            is(answer, |seen| shows(seen, still_away))
        })
        .await
        .or_fail(format!(
            "{what} within {} ms of its readiness",
            deadline.as_millis()
        ))?;
    let took = Duration::from_micros(probe.done_us.saturating_sub(ready_us));
    context.met(&what, |d| d.recover_ms, took)
}

/// Every probe of the timeline was answered in time.
pub(super) fn judge_answers(context: &Context, probes: Vec<Probe>) -> Result<(), Stop> {
    let deadline_us = context.manifest().deadlines.health_answer_ms * 1000;
    context.observe(format!("{} probes in one timeline", probes.len()));
    let slowest = probes.iter().map(Probe::latency_us).max().unwrap_or(0);
    context.observe(format!("the slowest was answered in {} ms", slowest / 1000));
    demand(
        AnswersInTime {
            deadline_us,
            own_delay_max_us: OWN_DELAY_MAX_US,
        }
        .check(&probes),
    )
}

fn is(answer: &ProbeAnswer, wanted: impl Fn(&HealthSeen) -> bool) -> bool {
    matches!(answer, ProbeAnswer::Health(seen) if wanted(seen))
}

/// Whether these stores, and no others, are shown as away.
fn shows(seen: &HealthSeen, away: &[StoreKind]) -> bool {
    seen.redis_connected != away.contains(&StoreKind::Redis)
        && seen.postgres_connected != away.contains(&StoreKind::Postgres)
        && seen.overall_ok == away.is_empty()
}

fn names(stores: &[StoreKind]) -> String {
    stores
        .iter()
        .map(StoreKind::to_string)
        .collect::<Vec<_>>()
        .join(" and ")
}
