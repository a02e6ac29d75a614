//! RECON-10: a server that has forgotten its scripts.

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
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::client::AnswerKind;

const GRACE: Duration = Duration::from_secs(3);

/// RECON-10.
pub(super) const KNOWS_AGAIN: Scenario = Scenario {
    criterion: Criterion {
        id: "RECON-10",
        statement: "After a restart of Redis, and after SCRIPT FLUSH, the server has forgotten its scripts: the first scripted call still works (NOSCRIPT handled)",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| knows_again(context).boxed(),
};

async fn knows_again(context: &Context) -> Result<(), Stop> {
    let scripts = context.section("scripts", context.manifest().scripts.as_ref())?;
    let operations = &scripts.operations;
    context.section("scripts.operations", operations.first())?;
    let (environment, instance) = context.start().await?;
    let prober = context.probe(&instance)?;
    let id = entity(context, &instance, operations).await?;
    for name in operations {
        after_flush(context, &environment, &instance, *name, &id).await?;
    }
    restart(context, &environment, &prober).await?;
    for name in operations {
        works(&instance, *name, &id, "works after the restart").await?;
    }
    let names: Vec<&str> = operations.iter().map(|name| name.key()).collect();
    context.observe(format!("first calls of {}", names.join(", ")));
    Ok(())
}

async fn after_flush(
    context: &Context,
    environment: &Environment,
    instance: &Instance,
    name: OperationName,
    id: &str,
) -> Result<(), Stop> {
    let before = cached_scripts(environment).await?;
    works(instance, name, id, "works at first").await?;
    if cached_scripts(environment).await? <= before {
        let reason = format!("`{}` has left no script in the server", name.key());
        return Err(Stop::unknown(reason));
    }
    context.step(format!("SCRIPT FLUSH, then `{}`", name.key()));
    let mut store = environment.store(StoreKind::Redis).redis(0).await?;
    let mut flush = redis::cmd("SCRIPT");
    flush.arg("FLUSH").exec_async(&mut store).await?;
    forgotten(environment).await?;
    works(instance, name, id, "works after SCRIPT FLUSH").await
}

/// Returns when the service has a connection again.
async fn restart(
    context: &Context,
    environment: &Environment,
    prober: &Prober,
) -> Result<(), Stop> {
    context.step("restart redis");
    let stop = ServerFaultKind::Stop;
    let fault = environment.fault(StoreKind::Redis, stop).await?;
    fault.heal().await?;
    environment.store(StoreKind::Redis).wait_ready().await?;
    let ready_us = context.clock().now_us();
    forgotten(environment).await?;
    let connected =
        |answer: &ProbeAnswer| matches!(answer, ProbeAnswer::Health(seen) if seen.redis_connected);
    let what = "health to show redis connected again";
    let deadline = context.deadline(|d| d.recover_ms) + GRACE;
    let shown = prober.wait_for(what, ready_us, deadline, connected).await;
    shown.or_fail(what).map(drop)
}

/// An entity for those operations that need one.
async fn entity(
    context: &Context,
    instance: &Instance,
    operations: &[OperationName],
) -> Result<String, Stop> {
    if !operations
        .iter()
        .any(|name| name.placeholders().contains(&"id"))
    {
        return Ok("1".to_owned());
    }
    context.require(&[OperationName::EntityCreate])?;
    let values: &[(&str, &[u8])] = &[("value", b"one")];
    let created = instance
        .http
        .call(OperationName::EntityCreate, values)
        .await?;
    created
        .text()
        .ok_or_else(|| Stop::fail("the id of the created entity", created.describe()))
}

/// One call, the first after whatever happened: it succeeds, not its repetition.
async fn works(instance: &Instance, name: OperationName, id: &str, when: &str) -> Result<(), Stop> {
    let values: &[(&str, &[u8])] = &[
        ("key", b"scripted"),
        ("key2", b"scripted-2"),
        ("value", b"two"),
        ("seconds", b"60"),
        ("id", id.as_bytes()),
        ("pattern", b"none:*"),
        ("user", b"user-1"),
        ("endpoint", b"scripted"),
        ("name", b"scripted"),
        ("ttl_ms", b"30000"),
    ];
    let answer = instance.http.call(name, values).await?;
    expect(
        answer.kind() == AnswerKind::Ok,
        format!("the first call of `{}` {when}", name.key()),
        answer.describe(),
    )
}

async fn forgotten(environment: &Environment) -> Result<(), Stop> {
    match cached_scripts(environment).await? {
        0 => Ok(()),
        left => Err(Stop::unknown(format!(
            "the server still has {left} scripts"
        ))),
    }
}

/// How many scripts the server knows.
async fn cached_scripts(environment: &Environment) -> Result<u64, Stop> {
    let mut store = environment.store(StoreKind::Redis).redis(0).await?;
    let info: String = redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut store)
        .await?;
    let mut lines = info.lines();
    let count = lines.find_map(|line| line.strip_prefix("number_of_cached_scripts:"));
    let count = count.and_then(|count| count.trim().parse().ok());
    count.ok_or_else(|| Stop::unknown("INFO memory does not tell how many scripts are cached"))
}
