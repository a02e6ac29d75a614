//! SHUT-1: SIGTERM and SIGINT end the service cleanly.

use super::closes::OpenConnections;
use super::in_flight::{self, InFlight};
use futures::FutureExt;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};

const POLL: Duration = Duration::from_millis(2);
const GRACE: Duration = Duration::from_secs(2);

/// SHUT-1.
pub(super) const DRAINS: Scenario = Scenario {
    criterion: Criterion {
        id: "SHUT-1",
        statement: "SIGTERM and SIGINT: logged; no new connection accepted; requests in flight answered; exit 0; both stores see clean closes",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| drains(context).boxed(),
};

async fn drains(context: &Context) -> Result<(), Stop> {
    context.section("logs.shutdown", context.manifest().logs.shutdown.as_ref())?;
    let (environment, first) = context.start().await?;
    end_with(context, &environment, &first, Signal::SIGTERM).await?;
    let second = environment.start_instance(&BTreeMap::new()).await?;
    end_with(context, &environment, &second, Signal::SIGINT).await
}

async fn end_with(
    context: &Context,
    environment: &Environment,
    instance: &Arc<Instance>,
    signal: Signal,
) -> Result<(), Stop> {
    let requests = in_flight::send(context, environment, instance).await?;
    let open = OpenConnections::look(environment, instance).await?;
    context.step(format!("send {signal}"));
    let sent = Instant::now();
    instance.signal(signal)?;
    port_closes(instance, &requests).await?;
    requests.all_answered().await?;
    let limit = context.deadline(|d| d.shutdown_ms);
    let exit = instance.wait_exit(limit + GRACE).await.or_fail(format!(
        "an end within {} ms of {signal}",
        limit.as_millis()
    ))?;
    context.met(
        &format!("the end after {signal}"),
        |d| d.shutdown_ms,
        sent.elapsed(),
    )?;
    let clean = context.manifest().exit_codes.clean;
    expect(
        exit.code == Some(clean),
        format!("exit code {clean} after {signal}"),
        format!("{exit}; its log ends with:\n{}", instance.log.tail()),
    )?;
    is_logged(context, instance, signal)?;
    open.were_closed_cleanly(context, environment, instance)
        .await
}

/// Nobody listens any more, while the requests in flight are still being answered.
async fn port_closes(instance: &Instance, requests: &InFlight) -> Result<(), Stop> {
    let closed = poll_until("new connections to be refused", GRACE, POLL, || async {
        let accepted = instance.accepts_connections().await;
        match (accepted, instance.exit(), requests.is_held()) {
            (false, None, _) => Look::Ready(Ok(())),
            (_, Some(exit), true) => Look::Ready(Err(Stop::fail(
                "new connections refused while requests in flight are being answered",
                format!("the process ended, requests in flight and all: {exit}"),
            ))),
            (true, None, false) => Look::Ready(Err(Stop::fail(
                "no new connection accepted after the signal",
                "one was accepted for as long as requests were in flight",
            ))),
            // It may have drained by now; whether it closed its port before, we came too late to see.
            (_, Some(_), false) => Look::Ready(Err(Stop::unknown(
                "we were too slow to look at the port before the requests were answered",
            ))),
            (true, None, true) => Look::NotYet("a new connection was accepted".to_owned()),
        }
    });
    closed
        .await
        .or_fail("no new connection accepted after the signal")?
}

/// Looked at after the end: what a process writes may lie in its buffer until then.
fn is_logged(context: &Context, instance: &Instance, signal: Signal) -> Result<(), Stop> {
    let pattern = context.section("logs.shutdown", context.manifest().logs.shutdown.as_ref())?;
    expect(
        !instance.log.matching(&pattern.0).is_empty(),
        format!("{signal} is logged"),
        format!("no such line; the log ends with:\n{}", instance.log.tail()),
    )
}
