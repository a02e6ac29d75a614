//! RECON-8: a connection whose peer has vanished, while new ones would work.

use super::fleet::micros;
use super::load::{Call, Load};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::FaultGuard;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::proxy::fault::Fault;
use touchstone_engine::proxy::{Blackhole, Ending, Scope, Silence};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;

const REQUEST_PERIOD: Duration = Duration::from_millis(20);
const POLL: Duration = Duration::from_millis(5);
const GRACE: Duration = Duration::from_secs(3);
/// How long requests go on after the connection had to be replaced.
const AFTERWARDS: Duration = Duration::from_millis(400);

/// RECON-8.
pub(super) const REPLACES: Scenario = Scenario {
    criterion: Criterion {
        id: "RECON-8",
        statement: "Half-open connection to Redis (its peer swallows but acknowledges, then: its packets are dropped), while new ones work: noticed within the response timeout of the first command after it, and replaced; no request waits longer than 1 s",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(5),
    run: |context| replaces(context).boxed(),
};

async fn replaces(context: &Context) -> Result<(), Stop> {
    context.require(&[OperationName::KvSet])?;
    let (environment, instance) = context.start().await?;
    let scope = Scope::Existing;
    let silence = inject(context, &environment, &instance, Silence { scope }).await?;
    replaced(context, &instance, silence, true).await?;
    let blackhole = Blackhole { scope };
    let how = blackhole.parameters().remove("packets").unwrap_or_default();
    context.observe(format!("black hole: packets are {how}"));
    let blackhole = inject(context, &environment, &instance, blackhole).await?;
    // What the subject closes in a black hole, nobody hears of.
    replaced(context, &instance, blackhole, false).await
}

/// A fault in force, and the connections that are dead because of it.
struct Dead {
    fault: FaultGuard,
    ids: Vec<u64>,
}

async fn inject(
    context: &Context,
    environment: &Environment,
    instance: &Instance,
    fault: impl Fault,
) -> Result<Dead, Stop> {
    let before = super::load::call(&instance.http, context.clock(), OperationName::KvSet, 0).await;
    expect(
        before.outcome.is_ok(),
        "a write works before the fault",
        before.describe(),
    )?;
    context.step(format!("{} on the existing connection", fault.name()));
    let fault = environment
        .network_fault(&instance.wiring, StoreKind::Redis, fault)
        .await?;
    let connections = instance.proxy(StoreKind::Redis).connections().await?;
    let open = connections.iter().filter(|c| c.ending.is_none());
    let ids = open.map(|c| c.id).collect();
    Ok(Dead { fault, ids })
}

async fn replaced(
    context: &Context,
    instance: &Instance,
    dead: Dead,
    close_is_seen: bool,
) -> Result<(), Stop> {
    let (clock, operation) = (context.clock(), OperationName::KvSet);
    let load = Load::start(&instance.http, clock, operation, REQUEST_PERIOD);
    let limit = context.deadline(|d| d.replace_ms);
    let first_us = clock.now_us();
    let works_us = first_success(&load, limit + GRACE).await?;
    let took = Duration::from_micros(works_us.saturating_sub(first_us));
    context.met("the dead connection replaced", |d| d.replace_ms, took)?;
    // Not a wait for a state: requests go on past the time by which all had to work.
    tokio::time::sleep((limit + AFTERWARDS).saturating_sub(took)).await;
    let calls = load.finish().await?;
    answered_in_time(context, &calls)?;
    let limit_us = first_us + micros(limit);
    work_after(&calls, limit_us)?;
    context.observe(others_carried_on(instance, &dead.ids).await?);
    if close_is_seen {
        closed(instance, &dead.ids).await?;
    }
    dead.fault.heal().await?;
    Ok(())
}

async fn first_success(load: &Load, deadline: Duration) -> Result<u64, Stop> {
    let what = "a write to work on another connection";
    poll_until(what, deadline, POLL, || async {
        let calls = load.so_far();
        let succeeded = calls.iter().filter(|call| call.outcome.is_ok());
        match (succeeded.map(|call| call.returned_us).min(), calls.last()) {
            (Some(at_us), _) => Look::Ready(at_us),
            (None, Some(last)) => Look::NotYet(last.describe()),
            (None, None) => Look::NotYet("no answer".to_owned()),
        }
    })
    .await
    .or_fail(what)
}

/// Also those into the dead connection: refused in time, never hanging.
fn answered_in_time(context: &Context, calls: &[Call]) -> Result<(), Stop> {
    let took_us = |call: &&Call| call.returned_us - call.called_us;
    let slowest = calls.iter().max_by_key(took_us);
    let slowest = slowest.ok_or_else(|| Stop::unknown("no request was sent"))?;
    let took = Duration::from_micros(took_us(&slowest));
    context.met("the slowest answer", |d| d.degraded_answer_ms, took)
}

fn work_after(calls: &[Call], from_us: u64) -> Result<(), Stop> {
    let after = || calls.iter().filter(|call| call.called_us >= from_us);
    if after().next().is_none() {
        return Err(Stop::unknown(
            "no request was sent after the connection was replaced",
        ));
    }
    match after().find(|call| call.outcome.is_err()) {
        None => Ok(()),
        Some(failed) => Err(Stop::Fail(
            Finding::new(
                "every request works once the dead connection had to be replaced",
                failed.describe(),
            )
            .with_evidence(format!("that was at {} ms", from_us / 1000)),
        )),
    }
}

/// What works does so on connections that were made since.
async fn others_carried_on(instance: &Instance, dead: &[u64]) -> Result<String, Stop> {
    let connections = instance.proxy(StoreKind::Redis).connections().await?;
    let made = connections.iter().filter(|c| !dead.contains(&c.id));
    let made: Vec<_> = made
        .filter(|c| c.ending.is_none() && c.down.bytes > 0)
        .collect();
    expect(
        !made.is_empty(),
        "another connection in place of the dead one",
        format!(
            "{} connections, none of them new and answered",
            connections.len()
        ),
    )?;
    Ok(format!(
        "{} dead connections, {} new",
        dead.len(),
        made.len()
    ))
}

/// The dead connection is closed, not left lying around.
async fn closed(instance: &Instance, dead: &[u64]) -> Result<(), Stop> {
    let what = "the dead connection to be closed by the service";
    poll_until(what, GRACE, POLL, || async {
        let connections = match instance.proxy(StoreKind::Redis).connections().await {
            Ok(connections) => connections,
            Err(error) => return Look::NotYet(error.to_string()),
        };
        let by_subject = |ending: Option<Ending>| {
            matches!(ending, Some(Ending::SubjectFin | Ending::SubjectReset))
        };
        let mut dead = connections.iter().filter(|c| dead.contains(&c.id));
        match dead.find(|c| !by_subject(c.ending)) {
            None => Look::Ready(()),
            Some(c) => Look::NotYet(format!("connection {}: {:?}", c.id, c.ending)),
        }
    })
    .await
    .or_fail(what)
}
