//! RECON-2: the attempts to reconnect follow the declared backoff.

use super::fleet::{CutOff, FLEET, Fleet, micros};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::check::Check;
use touchstone_core::check::backoff::{FollowsSchedule, Outage, Schedule};
use touchstone_core::{Criterion, Profile};
use touchstone_engine::scenario::{Context, Scenario, Stop, demand, expect};

/// Soon enough that a service which hammers does so for a moment only.
const LOOK: Duration = Duration::from_millis(100);

/// RECON-2.
pub(super) const FOLLOWS_SCHEDULE: Scenario = Scenario {
    criterion: Criterion {
        id: "RECON-2",
        statement: "The attempts to reconnect follow exponential backoff with jitter, as the manifest declares it (base 50 ms, doubling, cap 5 s): in 20 outages without HTTP traffic no delay outside the declared envelope, and the delays differ",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(14),
    run: |context| follows_schedule(context).boxed(),
};

async fn follows_schedule(context: &Context) -> Result<(), Stop> {
    let section = context.section("backoff", context.manifest().backoff.as_ref())?;
    let schedule = section.schedule();
    let recover = context.deadline(|d| d.recover_ms);
    expect(
        schedule.longest_us() <= micros(recover),
        format!("no declared delay longer than {} ms", recover.as_millis()),
        format!("delays of up to {} ms", schedule.longest_us() / 1000),
    )?;
    let fleet = Fleet::start(context).await?;
    let cut_off = fleet.cut_off().await?;
    context.step("watch the attempts until the first full delay is over");
    let outages = watch(&cut_off, &schedule).await?;
    let check = FollowsSchedule {
        schedule,
        slack: cut_off.slack(&schedule),
    };
    let attempts: usize = outages.iter().map(|outage| outage.attempts_us.len()).sum();
    context.observe(format!(
        "{attempts} attempts in {FLEET} outages of {} ms; measured to -{} and +{} ms",
        cut_off.elapsed().as_millis(),
        check.slack.early_us / 1000,
        check.slack.late_us / 1000
    ));
    demand(check.check(&outages))?;
    cut_off.heal().await
}

/// Until every instance has made the first attempt after a full delay, or one attempt too many.
async fn watch(cut_off: &CutOff<'_>, schedule: &Schedule) -> Result<Vec<Outage>, Stop> {
    let over = |slack_us: u64| {
        Duration::from_micros(schedule.latest_us(schedule.first_capped()) + slack_us)
    };
    loop {
        // Not a wait for a state: attempts that are not made are what is watched.
        tokio::time::sleep(LOOK).await;
        let slack = cut_off.slack(schedule);
        let outages = cut_off.outages().await?;
        let check = FollowsSchedule {
            schedule: *schedule,
            slack,
        };
        if cut_off.elapsed() > over(slack.late_us) || check.violation(&outages).is_some() {
            return Ok(outages);
        }
    }
}
