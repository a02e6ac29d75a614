//! RECON-1: Redis goes and comes back, and the service with it.

use futures::FutureExt;
use std::time::Duration;
use touchstone_core::timeline::ProbeAnswer;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::instance::Instance;
use touchstone_engine::prober::Prober;
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;

/// Longer than the first few delays of any backoff, so that it has to come back from a longer one.
const OUTAGE: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(3);

/// RECON-1.
pub(super) const COMES_BACK: Scenario = Scenario {
    criterion: Criterion {
        id: "RECON-1",
        statement: "Redis stopped, then started: the service notices, keeps running, reconnects by itself, logs that the connection is restored, health back to ok, within one backoff cap (5 s) and 1 s of Redis being ready",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(5),
    run: |context| comes_back(context).boxed(),
};

async fn comes_back(context: &Context) -> Result<(), Stop> {
    context.section("logs.restored", context.manifest().logs.restored.as_ref())?;
    let (environment, instance) = context.start().await?;
    let prober = context.probe(&instance)?;
    see(context, &prober, true).await?;
    // The second time tells one who reconnects from one who reconnects once.
    for outage in 1..=2 {
        through_outage(context, &environment, &instance, &prober, outage).await?;
    }
    Ok(())
}

async fn through_outage(
    context: &Context,
    environment: &Environment,
    instance: &Instance,
    prober: &Prober,
    outage: usize,
) -> Result<(), Stop> {
    let restored = context.section("logs.restored", context.manifest().logs.restored.as_ref())?;
    let deadline = context.deadline(|d| d.recover_ms) + GRACE;
    context.step(format!("stop redis, outage {outage}"));
    let processes = instance.processes();
    let fault = environment
        .fault(StoreKind::Redis, ServerFaultKind::Stop)
        .await?;
    see(context, prober, false).await?;
    // Not a wait for a state: the length of the outage is the parameter.
    tokio::time::sleep(OUTAGE).await;
    context.step(format!("start redis, outage {outage}"));
    fault.heal().await?;
    environment.store(StoreKind::Redis).wait_ready().await?;
    let ready_us = context.clock().now_us();
    let since_ready = || Duration::from_micros(context.clock().now_us() - ready_us);
    see(context, prober, true).await?;
    context.met("health ok again", |d| d.recover_ms, since_ready())?;
    let what = format!("the log tells {outage} restored connections");
    instance
        .log
        .wait_for(&what, &restored.0, outage, deadline)
        .await
        .or_fail(&what)?;
    context.met("restored in the log", |d| d.recover_ms, since_ready())?;
    expect(
        instance.exit().is_none() && processes.iter().all(|p| instance.processes().contains(p)),
        "the service keeps running",
        instance
            .exit()
            .map_or_else(|| "another process".to_owned(), |exit| exit.to_string()),
    )
}

async fn see(context: &Context, prober: &Prober, wanted_ok: bool) -> Result<(), Stop> {
    let what = if wanted_ok {
        "health ok"
    } else {
        "health degraded"
    };
    let deadline = context.deadline(|d| {
        if wanted_ok {
            d.recover_ms
        } else {
            d.health_notice_ms
        }
    });
    let from_us = context.clock().now_us();
    let wanted = |answer: &ProbeAnswer| {
        matches!(answer, ProbeAnswer::Health(seen)
            if seen.overall_ok == wanted_ok && seen.redis_connected == wanted_ok)
    };
    prober
        .wait_for(what, from_us, deadline + GRACE, wanted)
        .await
        .or_fail(what)?;
    Ok(())
}
