//! HLTH-11: what works while a store is away, and how the rest is refused.

use super::story::{Watch, Way};
use futures::FutureExt;
use futures::future::join_all;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::fault::ServerFaultKind;
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::DegradedSection;
use touchstone_engine::subject::{Answer, CallError, OperationName};

/// HLTH-11.
pub(super) const ROUTES: Scenario = Scenario {
    criterion: Criterion {
        id: "HLTH-11",
        statement: "While Redis is away, stopped or frozen, routes that need no Redis work; those that do answer 503 in 1 s or less with a JSON error, never hang, never 500; what was refused does not run later; the same without Postgres, where the manifest says what works then",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(10),
    run: |context| routes(context).boxed(),
};

async fn routes(context: &Context) -> Result<(), Stop> {
    let degraded = context
        .section("degraded", context.manifest().degraded.as_ref())?
        .clone();
    let lists = degraded.without(StoreKind::Redis);
    let listed = lists.into_iter().flatten().next();
    context.section(
        "degraded.works_without_redis and refused_without_redis",
        listed,
    )?;
    let watch = Watch::start(context).await?;
    let id = entity(context, &watch, &degraded).await?;
    for store in StoreKind::ALL {
        if degraded.without(store).concat().is_empty() {
            context.observe(format!(
                "the manifest does not say what works without {store}"
            ));
            continue;
        }
        for kind in [ServerFaultKind::Stop, ServerFaultKind::Freeze] {
            let losses = watch.lose(&[store], Way::Server(kind)).await?;
            call_all(context, &watch, &degraded, store, &id).await?;
            watch.hold(&losses).await?;
            call_all(context, &watch, &degraded, store, &id).await?;
            watch.regain(losses).await?;
            if (store, kind) == (StoreKind::Redis, ServerFaultKind::Stop) {
                refused_writes_did_not_run(context, &watch, &degraded).await?;
            }
        }
    }
    watch.finish().await
}

/// A key of its own for each operation: one that deletes must not hide one that wrote.
fn refused_key(name: OperationName) -> String {
    format!("refused-{}", name.key())
}

/// An entity to read and update, made while all is well; a made-up id where there is no such thing.
async fn entity(
    context: &Context,
    watch: &Watch<'_>,
    degraded: &DegradedSection,
) -> Result<String, Stop> {
    let mut all = StoreKind::ALL
        .into_iter()
        .flat_map(|store| degraded.without(store).concat());
    if !all.any(|name| name.placeholders().contains(&"id")) {
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
    store: StoreKind,
    id: &str,
) -> Result<(), Stop> {
    let [works, refused] = degraded.without(store);
    let call = |name: &OperationName| timed_call(context, watch, *name, id);
    for (name, answer) in works.iter().zip(join_all(works.iter().map(call)).await) {
        let answer = answer?;
        expect(
            matches!(answer.kind(), AnswerKind::Ok | AnswerKind::Absent),
            format!("`{}` works without {store}", name.key()),
            answer.describe(),
        )?;
    }
    for (name, answer) in refused.iter().zip(join_all(refused.iter().map(call)).await) {
        let answer = answer?;
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
    let key = refused_key(name);
    let values: &[(&str, &[u8])] = &[
        ("key", key.as_bytes()),
        ("key2", b"refused-second"),
        ("value", b"must not be written"),
        ("seconds", b"60"),
        ("id", id.as_bytes()),
        ("pattern", b"*"),
        ("tenant", b"first"),
        ("user", b"user-1"),
        ("endpoint", b"outage"),
        ("session", b"held-before-the-outage"),
        ("password", b"of nobody's account"),
        ("device", b"outage"),
        ("code", b"000000"),
        ("name", b"outage"),
        ("ttl_ms", b"30000"),
        ("holder", b"nobody"),
        ("fencing_token", b"1"),
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

/// Looks after a later write has gone through: what was queued before it would have run by then.
async fn refused_writes_did_not_run(
    context: &Context,
    watch: &Watch<'_>,
    degraded: &DegradedSection,
) -> Result<(), Stop> {
    let writes = [OperationName::KvSet, OperationName::KvSetEx];
    let refused: Vec<OperationName> = writes
        .into_iter()
        .filter(|name| degraded.refused_without_redis.contains(name))
        .collect();
    let Some(template) = context
        .manifest()
        .keys
        .kv
        .as_ref()
        .filter(|_| !refused.is_empty())
    else {
        return Ok(());
    };
    context.step("look for refused writes that ran later");
    let later: &[(&str, &[u8])] = &[("key", b"later"), ("value", b"x"), ("seconds", b"60")];
    let answer = watch.instance.http.call(refused[0], later).await?;
    expect(
        answer.kind() == AnswerKind::Ok,
        "a write works after the outage",
        answer.describe(),
    )?;
    let database = context.manifest().stores.redis_database;
    let mut store = watch
        .environment
        .store(StoreKind::Redis)
        .redis(database)
        .await?;
    for name in refused {
        let key = template.fill(|part| (part == "key").then(|| refused_key(name)));
        let exists: bool = redis::cmd("EXISTS")
            .arg(&key)
            .query_async(&mut store)
            .await?;
        expect(
            !exists,
            "a write that was answered with an error never runs",
            format!("`{key}` is in the store after the outage"),
        )?;
    }
    Ok(())
}
