//! RECON-4: a fleet that lost Redis at once does not come back in one burst.

use super::fleet::{CutOff, FLEET, Fleet};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::check::Check;
use touchstone_core::check::backoff::{NoHerd, Outage, Schedule};
use touchstone_core::{Criterion, Profile};
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::ConnectionRecord;
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, demand};
use touchstone_engine::store::StoreKind;

const POLL: Duration = Duration::from_millis(50);
const GRACE: Duration = Duration::from_secs(2);

/// The first attempts cannot spread: with a base of 50 ms they are over within 0.4 s.
const CHECK: NoHerd = NoHerd {
    from_attempt: 5,
    window_us: 50_000,
};

/// Two more than the first that counts; the later ones spread ever wider.
const ATTEMPTS: usize = 7;

/// RECON-4.
pub(super) const SPREADS: Scenario = Scenario {
    criterion: Criterion {
        id: "RECON-4",
        statement: "20 instances cut off at once do not come back in one burst: from the 5th attempt on, no 50 ms window holds half of them, and all of them come back",
        profile: Profile::Release,
    },
    expected: Duration::from_secs(14),
    run: |context| spreads(context).boxed(),
};

async fn spreads(context: &Context) -> Result<(), Stop> {
    let section = context.section("backoff", context.manifest().backoff.as_ref())?;
    let schedule = section.schedule();
    let fleet = Fleet::start(context).await?;
    let cut_off = fleet.cut_off().await?;
    context.step(format!("watch {ATTEMPTS} attempts of each"));
    let outages = attempts(&cut_off, &schedule).await?;
    if let Some((at_us, count)) = CHECK.densest(&outages) {
        let window_ms = CHECK.window_us / 1000;
        context.observe(format!(
            "at most {count} of {FLEET} instances within {window_ms} ms, from {} ms on",
            at_us / 1000
        ));
    }
    demand(CHECK.check(&outages))?;
    cut_off.heal().await?;
    all_back(context, &fleet).await
}

async fn attempts(cut_off: &CutOff<'_>, schedule: &Schedule) -> Result<Vec<Outage>, Stop> {
    let deadline = Duration::from_micros(schedule.latest_us(ATTEMPTS)) + GRACE;
    let what = format!("each instance to make {ATTEMPTS} attempts");
    let made = poll_until(&what, deadline, POLL, || async {
        let outages = match cut_off.outages().await {
            Ok(outages) => outages,
            Err(stop) => return Look::Ready(Err(stop)),
        };
        let fewest = outages.iter().map(|outage| outage.attempts_us.len()).min();
        match fewest {
            Some(fewest) if fewest >= ATTEMPTS => Look::Ready(Ok(outages)),
            fewest => Look::NotYet(format!("one has made {}", fewest.unwrap_or_default())),
        }
    });
    made.await.or_fail(what)?
}

/// Each instance has a connection that the store has answered on.
async fn all_back(context: &Context, fleet: &Fleet<'_>) -> Result<(), Stop> {
    let deadline = context.deadline(|d| d.recover_ms);
    let what = format!("all {FLEET} instances to be connected again");
    poll_until(&what, deadline, POLL, || async {
        let mut back = 0;
        for instance in fleet.instances() {
            match instance.proxy(StoreKind::Redis).connections().await {
                Ok(connections) => {
                    let live = |c: &ConnectionRecord| c.ending.is_none() && c.down.bytes > 0;
                    back += usize::from(connections.iter().any(live));
                }
                Err(error) => return Look::NotYet(error.to_string()),
            }
        }
        if back == FLEET {
            return Look::Ready(());
        }
        Look::NotYet(format!("{back} are"))
    })
    .await
    .or_fail(format!("{what} within {} ms", deadline.as_millis()))
}
