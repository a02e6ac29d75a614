//! SHUT-4: a second signal changes nothing.

use super::closes::OpenConnections;
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
        statement: "A second signal during the shutdown does not restart, crash or double-close it: requests in flight are still answered, exit 0, clean closes",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| second_signal(context).boxed(),
};

async fn second_signal(context: &Context) -> Result<(), Stop> {
    let (environment, instance) = context.start().await?;
    let requests = in_flight::send(context, &environment, &instance).await?;
    let open = OpenConnections::look(&environment, &instance).await?;
    context.step("send SIGTERM, then SIGTERM and SIGINT again");
    // With requests in flight none of them may end it, so each finds it running.
    for signal in [Signal::SIGTERM, Signal::SIGTERM, Signal::SIGINT] {
        if let (Some(exit), true) = (instance.exit(), requests.is_held()) {
            return Err(Stop::fail(
                format!("a process that still answers requests in flight when {signal} is sent"),
                exit.to_string(),
            ));
        }
        instance.signal(signal)?;
    }
    requests.all_answered().await?;
    let limit = context.deadline(|d| d.shutdown_ms);
    let exit = instance.wait_exit(limit + GRACE).await.or_fail(format!(
        "an end within {} ms of the first signal",
        limit.as_millis()
    ))?;
    let clean = context.manifest().exit_codes.clean;
    expect(
        exit.code == Some(clean),
        format!("exit code {clean}"),
        format!("{exit}; its log ends with:\n{}", instance.log.tail()),
    )?;
    open.were_closed_cleanly(context, &environment, &instance)
        .await
}
