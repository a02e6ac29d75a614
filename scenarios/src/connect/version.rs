//! CONN-1: the log tells the server's version, and tells it right.

use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;

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
    let pattern = context.section("logs.connected", context.manifest().logs.connected.as_ref())?;
    let (environment, instance) = context.start().await?;
    context.met("ready", |d| d.ready_ms, instance.started().elapsed())?;
    context.step("find the version in the log");
    let deadline = context.deadline(|d| d.ready_ms);
    let what = "a log line of the Redis connection with its version";
    instance
        .log
        .wait_for(what, &pattern.0, 1, deadline)
        .await
        .or_fail(what)?;
    let logged = instance.log.captures(&pattern.0, "version");
    let told = environment.store(StoreKind::Redis).version().await?;
    context.observe(format!(
        "INFO server tells {told}, the log {}",
        logged.join(", ")
    ));
    expect(
        !logged.is_empty() && logged.iter().all(|version| *version == told),
        format!("the version that INFO server tells, {told}"),
        format!("{} in the log", logged.join(", ")),
    )
}
