//! Many instances of the service, cut off from Redis, and the attempts that each makes to come back.

use futures::future::{join_all, try_join_all};
use std::sync::Arc;
use std::time::{Duration, Instant};
use touchstone_core::check::backoff::{Outage, Schedule, Slack};
use touchstone_engine::environment::{Environment, Overrides};
use touchstone_engine::fault::FaultGuard;
use touchstone_engine::instance::Instance;
use touchstone_engine::proxy::{ConnectionRecord, Cut, CutMode, Ending, Reject};
use touchstone_engine::scenario::{Context, Stop};
use touchstone_engine::store::StoreKind;

/// How many instances make a fleet.
pub(super) const FLEET: usize = 20;

/// A fleet of debug builds that all start at once would keep two cores busy for longer than one that
/// does not.
const STARTED_TOGETHER: usize = 4;

/// The time between a timer and the connection that it makes, on cores that have other things to do.
const EARLY: Duration = Duration::from_millis(20);
/// A twentieth of the longest delay, within these bounds, may pass until an attempt has been made, has
/// failed and was accepted.
const LATE: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
const LATE_PART: u64 = 20;

/// Instances that share one pair of stores, each behind its own proxies.
pub(super) struct Fleet<'a> {
    context: &'a Context,
    environment: Arc<Environment>,
    instances: Vec<Arc<Instance>>,
}

/// A fleet that is cut off: each attempt to reconnect is accepted, counted and reset.
pub(super) struct CutOff<'a> {
    fleet: &'a Fleet<'a>,
    rejects: Vec<FaultGuard>,
    since: Instant,
    /// For each instance when its connection was lost, and its first connection that is an attempt.
    begun: Vec<(u64, u64)>,
}

impl<'a> Fleet<'a> {
    /// Starts the stores and the fleet, and waits until each instance is ready.
    pub(super) async fn start(context: &'a Context) -> Result<Self, Stop> {
        let environment = context.stores().await?;
        context.step(format!("start {FLEET} instances"));
        let mut instances: Vec<Arc<Instance>> = Vec::new();
        while instances.len() < FLEET {
            let mut together = Vec::new();
            for _ in 0..STARTED_TOGETHER.min(FLEET - instances.len()) {
                let wiring = environment.wire().await?;
                together.push(environment.launch(wiring, &Overrides::default())?);
            }
            try_join_all(together.iter().map(|instance| instance.wait_ready())).await?;
            instances.extend(together);
        }
        context.measure_from_now();
        Ok(Self {
            context,
            environment,
            instances,
        })
    }

    /// The instances.
    pub(super) fn instances(&self) -> &[Arc<Instance>] {
        &self.instances
    }

    /// Cuts all of them off from Redis, at once.
    pub(super) async fn cut_off(&'a self) -> Result<CutOff<'a>, Stop> {
        self.context.step("cut all connections to redis at once");
        let reject = |instance: &'a Arc<Instance>| {
            self.environment
                .network_fault(&instance.wiring, StoreKind::Redis, Reject)
        };
        let rejects = join_all(self.instances.iter().map(reject)).await;
        let rejects = rejects.into_iter().collect::<Result<Vec<_>, _>>()?;
        let since = Instant::now();
        let cut = |instance: &'a Arc<Instance>| {
            let mode = CutMode::Reset;
            self.environment
                .network_fault(&instance.wiring, StoreKind::Redis, Cut { mode })
        };
        for cut in join_all(self.instances.iter().map(cut)).await {
            // Over as soon as it has happened.
            drop(cut?);
        }
        let mut begun = Vec::new();
        for instance in &self.instances {
            let connections = instance.proxy(StoreKind::Redis).connections().await?;
            begun.push(self.begin_of(&connections)?);
        }
        Ok(CutOff {
            fleet: self,
            rejects,
            since,
            begun,
        })
    }

    fn begin_of(&self, connections: &[ConnectionRecord]) -> Result<(u64, u64), Stop> {
        let cut = |c: &&ConnectionRecord| c.ending == Some(Ending::CutByFault);
        let last = connections.iter().filter(cut).max_by_key(|c| c.ended_at);
        match last.and_then(|c| Some((c.id, c.ended_at?))) {
            Some((id, at)) => Ok((self.context.clock().at_us(at), id + 1)),
            None => Err(Stop::unknown("an instance had no connection to cut")),
        }
    }
}

impl CutOff<'_> {
    /// The attempts so far.
    pub(super) async fn outages(&self) -> Result<Vec<Outage>, Stop> {
        let clock = self.fleet.context.clock();
        let mut outages = Vec::new();
        for (instance, (began_us, first)) in self.fleet.instances.iter().zip(&self.begun) {
            let observed_until_us = clock.now_us();
            let connections = instance.proxy(StoreKind::Redis).connections().await?;
            let attempts = connections.iter().filter(|c| c.id >= *first);
            outages.push(Outage {
                began_us: *began_us,
                attempts_us: attempts.map(|c| clock.at_us(c.opened_at)).collect(),
                observed_until_us,
            });
        }
        Ok(outages)
    }

    /// How long ago they were cut off.
    pub(super) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// How exact the times of attempts are, given how late the proxies have been so far.
    pub(super) fn slack(&self, schedule: &Schedule) -> Slack {
        let stalls = self.fleet.environment.stalls();
        let stall = stalls.worst_since(self.since).map(|stall| stall.lateness);
        slack(schedule, stall.unwrap_or_default())
    }

    /// Lets new connections through again.
    pub(super) async fn heal(self) -> Result<(), Stop> {
        self.fleet.context.step("let the fleet reconnect");
        for healed in join_all(self.rejects.into_iter().map(FaultGuard::heal)).await {
            healed?;
        }
        Ok(())
    }
}

/// How exact the times of attempts are behind a proxy that was late by this much.
pub(super) fn slack(schedule: &Schedule, stall: Duration) -> Slack {
    let late = Duration::from_micros(schedule.cap_us / LATE_PART).clamp(LATE[0], LATE[1]);
    Slack {
        early_us: micros(EARLY + stall),
        late_us: micros(late + stall),
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
