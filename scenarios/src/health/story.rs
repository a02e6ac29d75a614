//! The story that the outage criteria share: well before, shown during, well again after, and every
//! probe of the timeline answered in time and in agreement with the faults.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use touchstone_core::check::Check;
use touchstone_core::check::timeline::{AnswersInTime, FaultWindow, FollowsFaults, StoreSeen};
use touchstone_core::timeline::{HealthSeen, Probe, ProbeAnswer};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::{FaultGuard, ServerFaultKind};
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::prober::{PROBE_PERIOD, Prober};
use touchstone_engine::proxy::{Blackhole, Delay, Direction, Latency, Scope};
use touchstone_engine::scenario::{Context, OrFail, Stop, demand, expect};
use touchstone_engine::store::StoreKind;

/// Our own prober may be late by this much and still be a witness of a gap of a second.
const OWN_DELAY_MAX_US: u64 = 200_000;

/// Waiting for a state has a limit beyond its deadline, so that a late one is told with its time.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// An outage outlasts the answer deadline by this much, so that probes sent in it must be answered in
/// it: a heal would rescue whatever hangs.
pub(crate) const HOLD_MARGIN: Duration = Duration::from_millis(250);

/// So many probes in a row make a state; before that, several workers of one service may differ.
pub(crate) const ROW: usize = 3;

/// How a store goes away.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// The server itself is stopped, killed or frozen.
    Server(ServerFaultKind),
    /// The server runs, but its packets are dropped: no reset, no acknowledgement.
    Blackhole,
    /// The server runs, but each of its replies comes this much later.
    Late(Duration),
}

impl Way {
    fn verb(self) -> &'static str {
        match self {
            Way::Server(ServerFaultKind::Stop) => "stop",
            Way::Server(ServerFaultKind::Kill) => "kill",
            Way::Server(ServerFaultKind::Freeze) => "freeze",
            Way::Blackhole => "black-hole",
            Way::Late(_) => "slow down",
        }
    }
}

/// A store that is away: its fault, and since when.
pub(crate) struct Loss {
    store: StoreKind,
    fault: FaultGuard,
    begins_us: u64,
    shown_from_us: u64,
}

/// A subject under watch: its environment, its process and its health timeline.
pub(crate) struct Watch<'a> {
    pub(crate) context: &'a Context,
    pub(crate) environment: Arc<Environment>,
    pub(crate) instance: Arc<Instance>,
    prober: Prober,
    processes: Vec<(i32, u64)>,
    windows: Mutex<Vec<(StoreKind, FaultWindow)>>,
}

impl<'a> Watch<'a> {
    /// Starts the subject and sees its steady state.
    pub(crate) async fn start(context: &'a Context) -> Result<Self, Stop> {
        let (environment, instance) = context.start().await?;
        let prober = context.probe(&instance)?;
        context.step("see health ok before the fault");
        let deadline = context.deadline(|d| d.recover_ms) + GRACE;
        prober
            .wait_for_row("health ok", (0, ROW), deadline, |answer| {
                is(answer, |s| shows(s, &[]))
            })
            .await
            .or_fail("health 200, ok, both stores connected, before the fault")?;
        let processes = instance.processes();
        let windows = Mutex::default();
        Ok(Self {
            context,
            environment,
            instance,
            prober,
            processes,
            windows,
        })
    }

    /// Takes stores away together, holds them away, and brings them back one after the other. Health
    /// must show each step in time.
    pub(crate) async fn outage(&self, stores: &[StoreKind], way: Way) -> Result<(), Stop> {
        let losses = self.lose(stores, way).await?;
        self.hold(&losses).await?;
        self.regain(losses).await
    }

    /// Takes stores away together, and sees health show it.
    pub(crate) async fn lose(&self, stores: &[StoreKind], way: Way) -> Result<Vec<Loss>, Stop> {
        let mut losses = Vec::new();
        for store in stores {
            self.context.step(format!("{} {store}", way.verb()));
            let begins_us = self.context.clock().now_us();
            let fault = self.inject(*store, way).await?;
            losses.push(Loss {
                store: *store,
                fault,
                begins_us,
                shown_from_us: 0,
            });
        }
        let in_force_us = self.context.clock().now_us();
        let shown = self.see_degraded(in_force_us, stores).await?;
        for loss in &mut losses {
            loss.shown_from_us = shown.sent_us;
        }
        Ok(losses)
    }

    /// Holds an outage until every probe sent at its beginning is answered or overdue, and until each
    /// fault has bitten.
    pub(crate) async fn hold(&self, losses: &[Loss]) -> Result<(), Stop> {
        self.context
            .step("hold the outage past the answer deadline");
        let hold = self.context.deadline(|d| d.health_answer_ms) + HOLD_MARGIN;
        let until_us = losses.iter().map(|loss| loss.begins_us).max().unwrap_or(0)
            + u64::try_from(hold.as_micros()).unwrap_or(u64::MAX);
        let over = poll_until("the outage to last", hold + GRACE, PROBE_PERIOD, || async {
            let bitten = losses.iter().all(|loss| loss.fault.bite().is_some());
            if bitten && self.context.clock().now_us() >= until_us {
                return Look::Ready(());
            }
            Look::NotYet(format!("all faults have bitten: {bitten}"))
        });
        // A fault that never bites is the executor's to judge.
        let _ = over.await;
        Ok(())
    }

    /// Heals stores one after the other and sees each come back, those still away unchanged.
    pub(crate) async fn regain(&self, losses: Vec<Loss>) -> Result<(), Stop> {
        let mut away: Vec<StoreKind> = losses.iter().map(|loss| loss.store).collect();
        for Loss {
            store,
            fault,
            begins_us,
            shown_from_us,
        } in losses
        {
            away.retain(|other| *other != store);
            self.context.step(format!("heal {store}"));
            let ends_us = self.context.clock().now_us();
            fault.heal().await?;
            self.environment.store(store).wait_ready().await?;
            let restored = self.see_back(store, &away).await?;
            let restored_from_us = restored.sent_us;
            let window = FaultWindow {
                begins_us,
                shown_from_us,
                ends_us,
                restored_from_us,
            };
            self.windows
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((store, window));
        }
        Ok(())
    }

    /// Ends the watch: still the same processes, every probe answered in time, and every answer in
    /// agreement with the outages.
    pub(crate) async fn finish(self) -> Result<(), Stop> {
        same_processes(&self.instance, &self.processes)?;
        let probes = self.prober.finish().await?;
        judge_answers(self.context, &probes)?;
        let windows = self
            .windows
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        for store in StoreKind::ALL {
            let of_store = windows.iter().filter(|(lost, _)| *lost == store);
            let windows = of_store.map(|(_, window)| *window).collect();
            demand(
                FollowsFaults {
                    store: seen_as(store),
                    windows,
                }
                .check(&probes),
            )?;
        }
        Ok(())
    }

    async fn inject(&self, store: StoreKind, way: Way) -> Result<FaultGuard, Stop> {
        Ok(match way {
            Way::Server(kind) => self.environment.fault(store, kind).await?,
            Way::Late(delay) => {
                self.environment
                    .network_fault(&self.instance.wiring, store, late(delay))
                    .await?
            }
            Way::Blackhole => {
                let fault = Blackhole { scope: Scope::All };
                self.environment
                    .network_fault(&self.instance.wiring, store, fault)
                    .await?
            }
        })
    }

    /// Health shows exactly these stores as away, in time.
    async fn see_degraded(&self, in_force_us: u64, away: &[StoreKind]) -> Result<Probe, Stop> {
        let deadline = self.context.deadline(|d| d.health_notice_ms);
        let what = format!("health degraded with {} disconnected", names(away));
        let probe = self
            .prober
            .wait_for_row(&what, (in_force_us, ROW), deadline + GRACE, |answer| {
                is(answer, |seen| shows(seen, away))
            })
            .await
            .or_fail(format!(
                "{what}, the other connected, within {} ms",
                deadline.as_millis()
            ))?;
        self.context.observe(probe.describe());
        // The probe that could show it first is sent up to one period after the fault.
        let took = Duration::from_micros(probe.done_us.saturating_sub(in_force_us));
        self.context.met(
            &what,
            |d| d.health_notice_ms,
            took.saturating_sub(PROBE_PERIOD),
        )?;
        Ok(probe)
    }

    async fn see_back(&self, store: StoreKind, still_away: &[StoreKind]) -> Result<Probe, Stop> {
        let ready_us = self.context.clock().now_us();
        let deadline = self.context.deadline(|d| d.recover_ms);
        let what = format!("health shows {store} connected again");
        let probe = self
            .prober
            .wait_for_row(&what, (ready_us, ROW), deadline + GRACE, |answer| {
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
}

/// Replies that take this long on their way: one way only, so that a round trip takes no longer.
pub(crate) fn late(delay: Duration) -> Latency {
    Latency {
        delay: Delay::fixed(delay),
        direction: Direction::Down,
    }
}

/// None of the processes has ended, neither the one that we started nor a worker behind it.
pub(crate) fn same_processes(instance: &Instance, before: &[(i32, u64)]) -> Result<(), Stop> {
    let now = instance.processes();
    let gone = before.iter().find(|process| !now.contains(process));
    expect(
        gone.is_none() && instance.exit().is_none(),
        "the same processes before and after",
        gone.map_or_else(String::new, |(pid, _)| format!("process {pid} has ended")),
    )
}

/// Every probe of the timeline was answered in time.
pub(crate) fn judge_answers(context: &Context, probes: &[Probe]) -> Result<(), Stop> {
    let deadline_us = context.manifest().deadlines.health_answer_ms * 1000;
    context.observe(format!("{} probes in one timeline", probes.len()));
    let slowest = probes.iter().map(Probe::latency_us).max().unwrap_or(0);
    context.observe(format!("the slowest was answered in {} ms", slowest / 1000));
    let check = AnswersInTime {
        deadline_us,
        own_delay_max_us: OWN_DELAY_MAX_US,
    };
    demand(check.check(probes))
}

fn seen_as(store: StoreKind) -> StoreSeen {
    match store {
        StoreKind::Redis => StoreSeen::Redis,
        StoreKind::Postgres => StoreSeen::Postgres,
    }
}

pub(crate) fn is(answer: &ProbeAnswer, wanted: impl Fn(&HealthSeen) -> bool) -> bool {
    matches!(answer, ProbeAnswer::Health(seen) if wanted(seen))
}

/// Whether these stores, and no others, are shown as away.
pub(crate) fn shows(seen: &HealthSeen, away: &[StoreKind]) -> bool {
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
