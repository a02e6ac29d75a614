//! HLTH-11: what works while Redis is away, and how the rest is refused.

use super::story::{Watch, Way, see_degraded};
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::DegradedSection;
use touchstone_engine::subject::{Answer, CallError, OperationName};

/// A key of our own: what an outage refused must not appear under it later.
const REFUSED_KEY: &[u8] = b"refused-in-the-outage";

/// HLTH-11.
pub(super) const ROUTES: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-11",
        statement: "While Redis is away, stopped or frozen, routes that need no Redis work; those that do answer 503 in 1 s or less with a JSON error, never hang, never 500; what was refused does not run later",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(6),
    run: |context| routes(context).boxed(),
};

async fn routes(context: &Context) -> Result<(), Stop> {
    let degraded = context
        .section("degraded", context.manifest().degraded.as_ref())?
        .clone();
    let watch = Watch::start(context).await?;
    let id = entity(context, &watch, &degraded).await?;
    for kind in [ServerFaultKind::Stop, ServerFaultKind::Freeze] {
        let fault = watch.lose(StoreKind::Redis, Way::Server(kind)).await?;
        // Once at once, when the service may not know yet, and once when it does.
        call_all(context, &watch, &degraded, &id).await?;
        see_degraded(context, &watch.prober, &[StoreKind::Redis]).await?;
        call_all(context, &watch, &degraded, &id).await?;
        watch.regain(StoreKind::Redis, fault, &[]).await?;
        if kind == ServerFaultKind::Stop {
            refused_write_did_not_run(context, &watch, &degraded).await?;
        }
    }
    watch.finish().await.map(drop)
}

/// An entity to read and update, made while all is well; a made-up id where there is no such thing.
async fn entity(
    context: &Context,
    watch: &Watch<'_>,
    degraded: &DegradedSection,
) -> Result<String, Stop> {
    let all = || {
        degraded
            .works_without_redis
            .iter()
            .chain(&degraded.refused_without_redis)
    };
    if !all().any(|name| name.placeholders().contains(&"id")) {
        return Ok("1".to_owned());
    }
    context.require(&[OperationName::EntityCreate])?;
    let created = watch
        .instance
        .http
        .call(OperationName::EntityCreate, &[("value", b"one")])
        .await?;
    created
        .text()
        .ok_or_else(|| Stop::fail("the id of the created entity", created.describe()))
}

async fn call_all(
    context: &Context,
    watch: &Watch<'_>,
    degraded: &DegradedSection,
    id: &str,
) -> Result<(), Stop> {
    for name in &degraded.works_without_redis {
        let answer = timed_call(context, watch, *name, id).await?;
        expect(
            answer.kind() == AnswerKind::Ok,
            format!("`{}` works without Redis", name.key()),
            answer.describe(),
        )?;
    }
    for name in &degraded.refused_without_redis {
        let answer = timed_call(context, watch, *name, id).await?;
        expect(
            answer.status == degraded.refusal_status && answer.json().is_some(),
            format!(
                "`{}` answers {} with a JSON error",
                name.key(),
                degraded.refusal_status
            ),
            answer.describe(),
        )?;
    }
    Ok(())
}

async fn timed_call(
    context: &Context,
    watch: &Watch<'_>,
    name: OperationName,
    id: &str,
) -> Result<Answer, Stop> {
    let deadline = context.deadline(|d| d.degraded_answer_ms);
    let http = watch.instance.http.with_deadline(deadline);
    let values: &[(&str, &[u8])] = &[
        ("key", REFUSED_KEY),
        ("key2", REFUSED_KEY),
        ("value", b"must not be written"),
        ("seconds", b"60"),
        ("id", id.as_bytes()),
        ("pattern", b"*"),
        ("user", b"user-1"),
        ("endpoint", b"outage"),
    ];
    http.call(name, values).await.map_err(|error| match error {
        CallError::TimedOut { .. } | CallError::Broken { .. } | CallError::Refused { .. } => {
            let expected = format!(
                "`{}` answered within {} ms",
                name.key(),
                deadline.as_millis()
            );
            Stop::fail(expected, error.to_string())
        }
        CallError::NotMapped(_) | CallError::BadRequest { .. } => error.into(),
    })
}

/// Looks after a later write of the same client has gone through: what was queued before it would have
/// run by then.
async fn refused_write_did_not_run(
    context: &Context,
    watch: &Watch<'_>,
    degraded: &DegradedSection,
) -> Result<(), Stop> {
    let refused = degraded
        .refused_without_redis
        .contains(&OperationName::KvSet);
    let Some(template) = context.manifest().keys.kv.as_ref().filter(|_| refused) else {
        return Ok(());
    };
    let later: &[(&str, &[u8])] = &[("key", b"later"), ("value", b"x")];
    let answer = watch
        .instance
        .http
        .call(OperationName::KvSet, later)
        .await?;
    expect(
        answer.kind() == AnswerKind::Ok,
        "a write works after the outage",
        answer.describe(),
    )?;
    let key = template
        .fill(|name| (name == "key").then(|| String::from_utf8_lossy(REFUSED_KEY).into_owned()));
    let database = context.manifest().stores.redis_database;
    let mut store = watch
        .environment
        .store(StoreKind::Redis)
        .redis(database)
        .await?;
    let exists: bool = redis::cmd("EXISTS")
        .arg(&key)
        .query_async(&mut store)
        .await?;
    expect(
        !exists,
        "a write that was answered with an error never runs",
        format!("`{key}` is in the store after the outage"),
    )
}
