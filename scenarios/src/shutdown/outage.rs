//! SHUT-2 and SHUT-3: a shutdown while Redis says nothing, or is gone.

use futures::FutureExt;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use touchstone_core::timeline::ProbeAnswer;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;

const GRACE: Duration = Duration::from_secs(2);

/// SHUT-2.
pub(super) const FROZEN: Scenario = Scenario {
    criterion: Criterion {
        id: "SHUT-2",
        statement: "SIGTERM with Redis frozen: out within 10 s; exit 0 if it drained and dropped the connection, exit 1 with a log that says so only if it had to force",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| ends_in_outage(context, ServerFaultKind::Freeze).boxed(),
};

/// SHUT-3.
pub(super) const GONE: Scenario = Scenario {
    criterion: Criterion {
        id: "SHUT-3",
        statement: "SIGTERM with Redis already gone: out within 10 s with exit 0; a store that is gone is nothing to wait for",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| ends_in_outage(context, ServerFaultKind::Stop).boxed(),
};

async fn ends_in_outage(context: &Context, kind: ServerFaultKind) -> Result<(), Stop> {
    let (environment, instance) = context.start().await?;
    let prober = context.probe(&instance)?;
    context.step(format!("{kind:?} redis"));
    let fault = environment.fault(StoreKind::Redis, kind).await?;
    let gone_us = context.clock().now_us();
    let deadline = context.deadline(|d| d.health_notice_ms) + GRACE;
    let degraded =
        |answer: &ProbeAnswer| matches!(answer, ProbeAnswer::Health(seen) if !seen.redis_connected);
    prober
        .wait_for("health degraded", gone_us, deadline, degraded)
        .await
        .or_fail("health shows Redis disconnected before the signal")?;
    // Its requests would be in flight at the signal, and broken by it.
    drop(prober);
    context.step("send SIGTERM");
    let sent = Instant::now();
    instance.signal(Signal::SIGTERM)?;
    let limit = context.deadline(|d| d.shutdown_ms);
    let exit = instance
        .wait_exit(limit + GRACE)
        .await
        .or_fail(format!("an end within {} ms of SIGTERM", limit.as_millis()))?;
    context.met("the end after SIGTERM", |d| d.shutdown_ms, sent.elapsed())?;
    let codes = &context.manifest().exit_codes;
    let forced = kind == ServerFaultKind::Freeze
        && exit.code == Some(codes.failure)
        && says_forced(context, &instance);
    expect(
        exit.code == Some(codes.clean) || forced,
        format!("exit code {}", codes.clean),
        format!("{exit}; its log ends with:\n{}", instance.log.tail()),
    )?;
    fault.heal().await?;
    Ok(())
}

fn says_forced(context: &Context, instance: &Instance) -> bool {
    let pattern = context.manifest().logs.forced.as_ref();
    pattern.is_some_and(|pattern| !instance.log.matching(&pattern.0).is_empty())
}
