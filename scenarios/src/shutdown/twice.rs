//! SHUT-4: a second signal changes nothing.

use super::in_flight;
use futures::FutureExt;
use nix::sys::signal::Signal;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};

const GRACE: Duration = Duration::from_secs(2);

/// SHUT-4.
pub(super) const SECOND_SIGNAL: Scenario = Scenario {
    criterion: Criterion {
        id: "SHUT-4",
        statement: "A second signal during the shutdown does not restart, crash or double-close it: requests in flight are still answered, exit 0",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| second_signal(context).boxed(),
};

async fn second_signal(context: &Context) -> Result<(), Stop> {
    let (environment, instance) = context.start().await?;
    let requests = in_flight::send(context, &environment, &instance).await?;
    let pid = instance.pid();
    let limit = context.deadline(|d| d.shutdown_ms);
    context.step("send SIGTERM, then SIGTERM and SIGINT again");
    instance.signal(Signal::SIGTERM)?;
    if let Some(pattern) = &context.manifest().logs.shutdown {
        let what = "the first signal to be logged";
        instance
            .log
            .wait_for(what, &pattern.0, 1, limit)
            .await
            .or_fail(what)?;
    }
    instance.signal(Signal::SIGTERM)?;
    instance.signal(Signal::SIGINT)?;
    requests.all_answered().await?;
    let exit = instance.wait_exit(limit + GRACE).await.or_fail(format!(
        "an end within {} ms of the first signal",
        limit.as_millis()
    ))?;
    let clean = context.manifest().exit_codes.clean;
    expect(
        exit.code == Some(clean) && instance.pid() == pid,
        format!("exit code {clean} of the same process"),
        format!("{exit}; its log ends with:\n{}", instance.log.tail()),
    )
}
