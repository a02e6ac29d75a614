//! SHUT-1: SIGTERM and SIGINT end the service cleanly.

use super::in_flight;
use futures::FutureExt;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::Ending;
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;

const POLL: Duration = Duration::from_millis(2);
const GRACE: Duration = Duration::from_secs(2);

/// SHUT-1.
pub(super) const DRAINS: Scenario = Scenario {
    criterion: Criterion {
        id: "SHUT-1",
        statement: "SIGTERM and SIGINT: logged; no new connection accepted; requests in flight answered; exit 0; both stores see clean closes",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| drains(context).boxed(),
};

async fn drains(context: &Context) -> Result<(), Stop> {
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
    context.step(format!("send {signal}"));
    let sent = Instant::now();
    instance.signal(signal)?;
    let limit = context.deadline(|d| d.shutdown_ms);
    if let Some(pattern) = &context.manifest().logs.shutdown {
        let what = format!("{signal} to be logged");
        instance
            .log
            .wait_for(&what, &pattern.0, 1, limit)
            .await
            .or_fail(what)?;
    }
    port_closes(context, instance).await?;
    requests.all_answered().await?;
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
    closes_are_clean(context, instance).await
}

/// From the signal on, soon, nobody listens any more; not only after the end of the process.
async fn port_closes(context: &Context, instance: &Instance) -> Result<(), Stop> {
    let still_running = poll_until(
        "new connections to be refused",
        context.deadline(|d| d.answer_ms),
        POLL,
        || async {
            if instance.accepts_connections().await {
                return Look::NotYet("a new connection was accepted".to_owned());
            }
            Look::Ready(instance.exit().is_none())
        },
    )
    .await
    .or_fail("no new connection accepted after the signal")?;
    expect(
        still_running,
        "new connections refused while requests in flight are being answered",
        "the process ended, requests in flight and all",
    )
}

/// Every connection to a store was closed by the service itself, with FIN.
async fn closes_are_clean(context: &Context, instance: &Instance) -> Result<(), Stop> {
    for store in StoreKind::ALL {
        let proxy = instance.proxy(store);
        let what = format!("{store} to see its connections closed cleanly");
        poll_until(&what, context.deadline(|d| d.answer_ms), POLL, || async {
            let connections = match proxy.connections().await {
                Ok(connections) => connections,
                Err(error) => return Look::NotYet(error.to_string()),
            };
            let open = connections
                .iter()
                .find(|c| c.ending != Some(Ending::SubjectFin));
            match open {
                None => Look::Ready(()),
                Some(c) => Look::NotYet(format!("connection {} ended by {:?}", c.id, c.ending)),
            }
        })
        .await
        .or_fail(&what)?;
    }
    Ok(())
}
