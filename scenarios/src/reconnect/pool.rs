//! RECON-14: Postgres ends every session, then restarts: the pool of the service heals.

use super::load::{Call, Load, call};
use futures::FutureExt;
use futures::future::join_all;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;

/// Every request needs Postgres.
const OPERATION: OperationName = OperationName::EntityCreate;
const REQUEST_PERIOD: Duration = Duration::from_millis(10);
/// More than a pool usually has connections, so that each of them is used.
const BURST: u64 = 16;
const BURSTS: usize = 4;
/// Long enough that requests of the outage fail, and connections are tried in vain.
const OUTAGE: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(5);
const GRACE: Duration = Duration::from_secs(3);

/// RECON-14.
pub(super) const HEALS: Scenario = Scenario {
    criterion: Criterion {
        id: "RECON-14",
        statement: "pg_terminate_backend on every session, then a restart of Postgres: the pool heals; after the first success once Postgres is ready again, no request fails",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(4),
    run: |context| heals(context).boxed(),
};

async fn heals(context: &Context) -> Result<(), Stop> {
    context.require(&[OPERATION])?;
    let (environment, instance) = context.start().await?;
    let load = fill_pool(context, &instance).await?;
    context.step("end every session of postgres");
    let ready_us = terminate_all(context, &environment, &instance).await?;
    healed(context, &instance, load, ready_us).await?;
    let load = fill_pool(context, &instance).await?;
    context.step("restart postgres");
    let fault = environment
        .fault(StoreKind::Postgres, ServerFaultKind::Stop)
        .await?;
    // Not a wait for a state: the length of the outage is the parameter.
    tokio::time::sleep(OUTAGE).await;
    fault.heal().await?;
    environment.store(StoreKind::Postgres).wait_ready().await?;
    let ready_us = context.clock().now_us();
    healed(context, &instance, load, ready_us).await
}

/// Requests work, also many at a time, and go on.
async fn fill_pool(context: &Context, instance: &Instance) -> Result<Load, Stop> {
    let calls = burst(context, instance).await;
    let failed = calls.iter().find(|call| call.outcome.is_err());
    expect(
        failed.is_none(),
        "every request works before the fault",
        failed.map_or_else(String::new, Call::describe),
    )?;
    Ok(Load::start(
        &instance.http,
        context.clock(),
        OPERATION,
        REQUEST_PERIOD,
    ))
}

async fn burst(context: &Context, instance: &Instance) -> Vec<Call> {
    let one = |number| call(&instance.http, context.clock(), OPERATION, number);
    join_all((0..BURST).map(one)).await
}

/// Returns when the last session had ended.
async fn terminate_all(
    context: &Context,
    environment: &Environment,
    instance: &Instance,
) -> Result<u64, Stop> {
    let before = instance.proxy(StoreKind::Postgres).connections().await?;
    let open: Vec<u64> = before
        .iter()
        .filter(|c| c.ending.is_none())
        .map(|c| c.id)
        .collect();
    let client = environment.store(StoreKind::Postgres).postgres().await?;
    let terminated = client
        .query_one(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
            &[],
        )
        .await?;
    let terminated: i64 = terminated.get(0);
    let of_service = open.len();
    if of_service == 0 || usize::try_from(terminated).unwrap_or(0) < of_service {
        let reason = format!("{terminated} sessions ended, and the service had {of_service}");
        return Err(Stop::unknown(reason));
    }
    context.observe(format!(
        "{terminated} sessions ended, {of_service} of them the service's"
    ));
    see_ended(context, instance, &open).await
}

/// Who closes first is a race: a client that has read why its session ends may be faster than the
/// server process that ends.
async fn see_ended(context: &Context, instance: &Instance, open: &[u64]) -> Result<u64, Stop> {
    let what = "every session of the service to end";
    let ended = poll_until(what, GRACE, POLL, || async {
        let connections = match instance.proxy(StoreKind::Postgres).connections().await {
            Ok(connections) => connections,
            Err(error) => return Look::NotYet(error.to_string()),
        };
        let of_pool = connections.iter().filter(|c| open.contains(&c.id));
        match of_pool.filter(|c| c.ending.is_none()).count() {
            0 => Look::Ready(context.clock().now_us()),
            left => Look::NotYet(format!("{left} are left")),
        }
    });
    let ended = ended.await;
    ended.map_err(|timeout| Stop::unknown(format!("the termination did not bite: {timeout}")))
}

/// A request succeeds in time, and from then on all do, one at a time and many.
async fn healed(
    context: &Context,
    instance: &Instance,
    load: Load,
    ready_us: u64,
) -> Result<(), Stop> {
    context.step("see requests work again");
    let what = "a request to work again";
    let deadline = context.deadline(|d| d.recover_ms) + GRACE;
    let first = poll_until(what, deadline, POLL, || async {
        let calls = load.so_far();
        let mut since = calls.iter().filter(|call| call.called_us >= ready_us);
        match since.find(|call| call.outcome.is_ok()) {
            Some(call) => Look::Ready(call.returned_us),
            None => Look::NotYet(
                calls
                    .last()
                    .map_or_else(|| "no answer".to_owned(), Call::describe),
            ),
        }
    });
    let first_us = first.await.or_fail(what)?;
    let took = Duration::from_micros(first_us.saturating_sub(ready_us));
    context.met("the first success", |d| d.recover_ms, took)?;
    let mut calls = Vec::new();
    for _ in 0..BURSTS {
        calls.extend(burst(context, instance).await);
    }
    calls.extend(load.finish().await?);
    none_fails_after(context, &calls, first_us)
}

fn none_fails_after(context: &Context, calls: &[Call], first_us: u64) -> Result<(), Stop> {
    let after = || calls.iter().filter(|call| call.called_us >= first_us);
    let count = after().count();
    context.observe(format!("{count} requests after the first success"));
    let failed: Vec<&Call> = after().filter(|call| call.outcome.is_err()).collect();
    let Some(first) = failed.first() else {
        return Ok(());
    };
    let expected = "no request fails after the first success";
    let seen = format!(
        "{} did, for instance one {}",
        failed.len(),
        first.describe()
    );
    let finding = Finding::new(expected, seen);
    let evidence = format!("the first success came at {} ms", first_us / 1000);
    Err(Stop::Fail(finding.with_evidence(evidence)))
}
