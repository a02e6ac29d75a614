//! RECON-5: what was written before a restart is there after it.

use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::environment::Environment;
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::instance::Instance;
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;
use touchstone_engine::subject::client::AnswerKind;

const KEYS: u32 = 20;
const POLL: Duration = Duration::from_millis(10);
const GRACE: Duration = Duration::from_secs(3);

/// RECON-5.
pub(super) const SURVIVES: Scenario = Scenario {
    criterion: Criterion {
        id: "RECON-5",
        statement: "Data written before Redis is stopped or killed, and acknowledged, is there after the restart (append-only file on), read through the service and in the store",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| survives(context).boxed(),
};

async fn survives(context: &Context) -> Result<(), Stop> {
    context.require(&[OperationName::KvSet, OperationName::KvGet])?;
    let template = context.section("keys.kv", context.manifest().keys.kv.as_ref())?;
    let (environment, instance) = context.start().await?;
    for (round, kind) in [ServerFaultKind::Stop, ServerFaultKind::Kill]
        .into_iter()
        .enumerate()
    {
        let pairs: Vec<(String, String)> = (0..KEYS)
            .map(|n| (format!("kept-{round}-{n}"), format!("value {round} {n}")))
            .collect();
        context.step(format!("write, then {kind:?} redis"));
        for (key, value) in &pairs {
            let values: &[(&str, &[u8])] = &[("key", key.as_bytes()), ("value", value.as_bytes())];
            let answer = instance.http.call(OperationName::KvSet, values).await?;
            expect(
                answer.kind() == AnswerKind::Ok,
                "a write works",
                answer.describe(),
            )?;
        }
        let fault = environment.fault(StoreKind::Redis, kind).await?;
        fault.heal().await?;
        environment.store(StoreKind::Redis).wait_ready().await?;
        context.step("read everything back");
        for (key, value) in &pairs {
            read_back(context, &instance, key, value).await?;
            let stored_key = template.fill(|name| (name == "key").then(|| key.clone()));
            in_store(context, &environment, &stored_key, value).await?;
        }
    }
    context.observe(format!(
        "{} acknowledged writes survived a stop and a kill",
        2 * KEYS
    ));
    Ok(())
}

/// Through the service; refusals are allowed until it has reconnected, a wrong answer never is.
async fn read_back(
    context: &Context,
    instance: &Instance,
    key: &str,
    value: &str,
) -> Result<(), Stop> {
    let deadline = context.deadline(|d| d.recover_ms) + GRACE;
    let answer = poll_until("the service to read again", deadline, POLL, || async {
        match instance
            .http
            .call(OperationName::KvGet, &[("key", key.as_bytes())])
            .await
        {
            Ok(answer) if answer.kind() == AnswerKind::Other => Look::NotYet(answer.describe()),
            Ok(answer) => Look::Ready(answer),
            Err(error) => Look::NotYet(error.to_string()),
        }
    })
    .await
    .or_fail("reads work again after the restart")?;
    expect(
        answer.bytes().as_deref() == Some(value.as_bytes()),
        format!("`{key}` reads `{value}` after the restart"),
        answer.describe(),
    )
}

async fn in_store(
    context: &Context,
    environment: &Environment,
    key: &str,
    value: &str,
) -> Result<(), Stop> {
    let database = context.manifest().stores.redis_database;
    let mut store = environment.store(StoreKind::Redis).redis(database).await?;
    let stored: Option<String> = redis::cmd("GET").arg(key).query_async(&mut store).await?;
    expect(
        stored.as_deref() == Some(value),
        format!("the store holds `{value}` under `{key}`"),
        format!("{stored:?}"),
    )
}
