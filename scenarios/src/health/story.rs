//! The story that the outage criteria share: well before, noticed during, well again after.

use std::sync::Arc;
use std::time::Duration;
use touchstone_core::check::Check;
use touchstone_core::check::timeline::AnswersInTime;
use touchstone_core::timeline::{HealthSeen, Probe, ProbeAnswer};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::{FaultGuard, ServerFaultKind};
use touchstone_engine::instance::Instance;
use touchstone_engine::prober::Prober;
use touchstone_engine::proxy::{Blackhole, Scope};
use touchstone_engine::scenario::{Context, OrFail, Stop, demand, expect};
use touchstone_engine::store::StoreKind;

/// Our own prober may be late by this much and still be a witness of a gap of a second.
const OWN_DELAY_MAX_US: u64 = 200_000;

/// Waiting for a state has a limit beyond its deadline, so that a late one is told with its time.
const GRACE: Duration = Duration::from_secs(3);

/// How a store goes away.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    /// The server itself is stopped, killed or frozen.
    Server(ServerFaultKind),
    /// The server runs, but its packets are dropped: no reset, no acknowledgement.
    Blackhole,
}

impl Way {
    fn verb(self) -> &'static str {
        match self {
            Way::Server(ServerFaultKind::Stop) => "stop",
            Way::Server(ServerFaultKind::Kill) => "kill",
            Way::Server(ServerFaultKind::Freeze) => "freeze",
            Way::Blackhole => "black-hole",
        }
    }
}

/// A subject under watch: its environment, its process and its health timeline.
pub(super) struct Watch<'a> {
    pub(super) context: &'a Context,
    pub(super) environment: Arc<Environment>,
    pub(super) instance: Arc<Instance>,
    pub(super) prober: Prober,
    pid: i32,
}

impl<'a> Watch<'a> {
    /// Starts the subject and sees its steady state.
    pub(super) async fn start(context: &'a Context) -> Result<Self, Stop> {
        let (environment, instance) = context.start().await?;
        let prober = context.probe(&instance)?;
        let pid = instance.pid();
        see_steady(context, &prober, "before the fault").await?;
        Ok(Self {
            context,
            environment,
            instance,
            prober,
            pid,
        })
    }

    /// Takes a store away.
    pub(super) async fn lose(&self, store: StoreKind, way: Way) -> Result<FaultGuard, Stop> {
        self.context.step(format!("{} {store}", way.verb()));
        Ok(match way {
            Way::Server(kind) => self.environment.fault(store, kind).await?,
            Way::Blackhole => {
                let fault = Blackhole { scope: Scope::All };
                self.environment
                    .network_fault(&self.instance.wiring, store, fault)
                    .await?
            }
        })
    }

    /// Takes stores away together, sees health show it, brings them back one after the other, and
    /// sees health show that too.
    pub(super) async fn outage(&self, stores: &[StoreKind], way: Way) -> Result<(), Stop> {
        let mut faults = Vec::new();
        for store in stores {
            faults.push((*store, self.lose(*store, way).await?));
        }
        see_degraded(self.context, &self.prober, stores).await?;
        let mut away = stores.to_vec();
        for (store, fault) in faults {
            away.retain(|other| *other != store);
            self.regain(store, fault, &away).await?;
        }
        Ok(())
    }

    /// Heals one store and sees it come back, those still away unchanged.
    pub(super) async fn regain(
        &self,
        store: StoreKind,
        fault: FaultGuard,
        still_away: &[StoreKind],
    ) -> Result<Probe, Stop> {
        self.context.step(format!("heal {store}"));
        fault.heal().await?;
        self.environment.store(store).wait_ready().await?;
        let ready_us = self.context.clock().now_us();
        let deadline = self.context.deadline(|d| d.recover_ms);
        let what = format!("health shows {store} connected again");
        let probe = self
            .prober
            .wait_for(&what, ready_us, deadline + GRACE, |answer| {
                is(answer, |seen| shows(seen, still_away))
            })
            .await
            .or_fail(format!(
                "{what} within {} ms of its readiness",
                deadline.as_millis()
            ))?;
        let took = Duration::from_micros(probe.done_us.saturating_sub(ready_us));
        self.context.met(&what, |d| d.recover_ms, took)?;
        Ok(probe)
    }

    /// Ends the watch: still the same process, and every probe of the timeline answered in time.
    pub(super) async fn finish(self) -> Result<Vec<Probe>, Stop> {
        let exit = self.instance.exit();
        expect(
            exit.is_none() && self.instance.pid() == self.pid,
            "the same process before and after",
            exit.map_or_else(|| "another process".to_owned(), |exit| exit.to_string()),
        )?;
        let probes = self.prober.finish().await;
        judge_answers(self.context, &probes)?;
        Ok(probes)
    }
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
) -> Result<Probe, Stop> {
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
    context.met(&what, |d| d.health_notice_ms, took)?;
    Ok(probe)
}

/// Every probe of the timeline was answered in time.
fn judge_answers(context: &Context, probes: &[Probe]) -> Result<(), Stop> {
    let deadline_us = context.manifest().deadlines.health_answer_ms * 1000;
    context.observe(format!("{} probes in one timeline", probes.len()));
    let slowest = probes.iter().map(Probe::latency_us).max().unwrap_or(0);
    context.observe(format!("the slowest was answered in {} ms", slowest / 1000));
    demand(
        AnswersInTime {
            deadline_us,
            own_delay_max_us: OWN_DELAY_MAX_US,
        }
        .check(probes),
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
