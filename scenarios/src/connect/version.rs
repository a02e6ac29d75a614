//! CONN-1: the log tells the server's version, and tells it right.

use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Overrides;
use touchstone_engine::instance::Instance;
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::{Store, StoreKind};

/// CONN-1.
pub(super) const LOGGED: Scenario = Scenario {
    criterion: Criterion {
        id: "CONN-1",
        statement: "With both stores up the service becomes ready and logs that it connected to Redis, with the version that INFO server tells",
        profile: Profile::Merge,
    },
    expected: Duration::from_millis(500),
    run: |context| logged(context).boxed(),
};

async fn logged(context: &Context) -> Result<(), Stop> {
    context.section("logs.connected", context.manifest().logs.connected.as_ref())?;
    let (environment, instance) = context.start().await?;
    context.met("ready", |d| d.ready_ms, instance.started().elapsed())?;
    let first = tells_version(context, &instance, environment.store(StoreKind::Redis)).await?;
    let Some(second) = environment.second_redis().await? else {
        context.observe("one server version: no second one was named");
        return Ok(());
    };
    context.step("the same on the second server version");
    // A subject with a port of its own makes room for the next instance.
    instance.kill();
    let wiring = environment.wire().await?;
    let upstream = second.address().await;
    wiring
        .proxy(StoreKind::Redis)
        .set_upstream(upstream)
        .await?;
    let instance = environment.launch(wiring, &Overrides::default())?;
    instance.wait_ready().await?;
    let second = tells_version(context, &instance, &second).await?;
    if first == second {
        let reason = format!("both servers are of version {first}: that proves no more than one");
        return Err(Stop::unknown(reason));
    }
    Ok(())
}

/// Returns the version, when the log tells it as the server does.
async fn tells_version(
    context: &Context,
    instance: &Instance,
    store: &Store,
) -> Result<String, Stop> {
    let pattern = context.section("logs.connected", context.manifest().logs.connected.as_ref())?;
    context.step("find the version in the log");
    let deadline = context.deadline(|d| d.ready_ms);
    let what = "a log line of the Redis connection with its version";
    instance
        .log
        .wait_for(what, &pattern.0, 1, deadline)
        .await
        .or_fail(what)?;
    let logged = instance.log.captures(&pattern.0, "version");
    let told = store.version().await?;
    context.observe(format!(
        "INFO server tells {told}, the log {}",
        logged.join(", ")
    ));
    expect(
        !logged.is_empty() && logged.iter().all(|version| *version == told),
        format!("the version that INFO server tells, {told}"),
        format!("{} in the log", logged.join(", ")),
    )?;
    Ok(told)
}
