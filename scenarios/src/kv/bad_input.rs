//! KV-7: bad input is refused, and leaves no trace.

use super::client::KvClient;
use crate::store_view::Snapshot;
use futures::FutureExt;
use std::time::Duration;
use tokio_postgres::Client;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::manifest::KvSection;
use touchstone_engine::subject::{Answer, OperationName};

/// Redis counts in milliseconds in 64 bits: the first does not fit in milliseconds, the second not in
/// seconds, the third in nothing.
const BAD_SECONDS: [&str; 6] = [
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999999",
    "1.5",
    "soon",
];
/// The key that an expiry is refused for, and its TTL.
const KEPT: &str = "kept";
const KEPT_TTL_MS: u64 = 5_000_000;

/// KV-7.
pub(super) const REFUSED: Scenario = Scenario {
    criterion: Criterion {
        id: "KV-7",
        statement: "Bad input (empty key, key over the limit, negative or overflowing seconds, body over the limit): 4xx with a JSON error, nothing written",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(2),
    run: |context| refused(context).boxed(),
};

/// A request that must be refused.
struct BadCall {
    what: String,
    name: OperationName,
    key: String,
    value: Vec<u8>,
    seconds: &'static str,
}

async fn refused(context: &Context) -> Result<(), Stop> {
    use OperationName::{KvExpire, KvGet, KvSet, KvSetEx};
    let limits = context
        .section("kv", context.manifest().kv.as_ref())?
        .clone();
    let kv = KvClient::open(context, &[KvSet, KvSetEx, KvExpire, KvGet]).await?;
    let postgres = kv.environment.store(StoreKind::Postgres).postgres().await?;
    context.step("input at its limits is accepted");
    accepted_at_the_limits(&kv, &limits).await?;
    let kept_key = kv.stored_key(KEPT);
    kv.store.set(&kept_key, b"value").await?;
    kv.store.move_expiry(&kept_key, KEPT_TTL_MS).await?;
    let rows_before = rows(&postgres).await?;
    let mut before = kv.store.snapshot().await?;
    let mut calls = bad_calls(&limits);
    calls.retain(|call| context.manifest().operations.contains_key(&call.name));
    context.step(format!(
        "{} bad requests, the stores compared after each",
        calls.len()
    ));
    for call in &calls {
        let ttl_before_ms = kv.store.pttl_ms(&kept_key).await?;
        let answer = send(&kv, call).await?;
        before = unchanged(&kv, call, &answer, before).await?;
        let ttl_ms = kv.store.pttl_ms(&kept_key).await?;
        expect(
            (1..=ttl_before_ms).contains(&ttl_ms)
                && ttl_before_ms - ttl_ms < KEPT_TTL_MS as i64 / 2,
            format!(
                "the expiry of `{KEPT}` to stay as it was after {}",
                call.what
            ),
            format!("{ttl_ms} ms left, {ttl_before_ms} ms before"),
        )?;
        is_refusal(call, &answer)?;
    }
    let rows_after = rows(&postgres).await?;
    expect(
        rows_after == rows_before,
        format!("Postgres as it was: {rows_before:?}"),
        format!("{rows_after:?}"),
    )
}

async fn accepted_at_the_limits(kv: &KvClient, limits: &KvSection) -> Result<(), Stop> {
    let longest = "k".repeat(limits.key_max_bytes);
    kv.set(&longest, b"value").await?;
    kv.store.delete(&kv.stored_key(&longest)).await?;
    if kv.carries_bytes() {
        kv.set("largest", &vec![b'v'; limits.body_max_bytes])
            .await?;
        kv.store.delete(&kv.stored_key("largest")).await?;
    }
    Ok(())
}

fn bad_calls(limits: &KvSection) -> Vec<BadCall> {
    use OperationName::{KvDelete, KvExists, KvExpire, KvGet, KvSet, KvSetEx, KvTtl};
    let long = "k".repeat(limits.key_max_bytes + 1);
    // Fewer characters than the limit, more bytes.
    let wide = "ä".repeat(limits.key_max_bytes / 2 + 1);
    let call = |what: String, name, key: &str, seconds| BadCall {
        what: format!("`{}` with {what}", OperationName::key(name)),
        name,
        key: key.to_owned(),
        value: b"value".to_vec(),
        seconds,
    };
    let mut calls = Vec::new();
    for name in [KvSet, KvSetEx, KvGet, KvDelete] {
        calls.push(call("an empty key".to_owned(), name, "", "60"));
    }
    for name in [KvSet, KvSetEx, KvGet, KvDelete, KvExists, KvExpire, KvTtl] {
        for (key, unit) in [(&long, "ASCII"), (&wide, "two-byte characters")] {
            let what = format!("a key of {} bytes in {unit}", key.len());
            calls.push(call(what, name, key, "60"));
        }
    }
    for seconds in BAD_SECONDS {
        calls.push(call(format!("{seconds} seconds"), KvSetEx, "new", seconds));
        calls.push(call(format!("{seconds} seconds"), KvSetEx, KEPT, seconds));
        calls.push(call(format!("{seconds} seconds"), KvExpire, KEPT, seconds));
    }
    calls.push(call("0 seconds".to_owned(), KvSetEx, "new", "0"));
    for name in [KvSet, KvSetEx] {
        let what = format!("a body of {} bytes", limits.body_max_bytes + 1);
        let value = vec![b'v'; limits.body_max_bytes + 1];
        calls.push(BadCall {
            value,
            ..call(what, name, "new", "60")
        });
    }
    calls
}

async fn send(kv: &KvClient, call: &BadCall) -> Result<Answer, Stop> {
    let (key, seconds) = (call.key.as_bytes(), call.seconds.as_bytes());
    let values: &[(&str, &[u8])] = &[("key", key), ("value", &call.value), ("seconds", seconds)];
    let answered = kv.http.call(call.name, values).await;
    answered.map_err(|error| match Stop::from(error) {
        Stop::Fail(finding) => Stop::fail(
            format!("{} to be answered with 4xx", call.what),
            finding.seen,
        ),
        other => other,
    })
}

async fn unchanged(
    kv: &KvClient,
    call: &BadCall,
    answer: &Answer,
    before: Snapshot,
) -> Result<Snapshot, Stop> {
    let after = kv.store.snapshot().await?;
    let changes = after.changes_since(&before);
    if changes.is_empty() {
        return Ok(after);
    }
    let expected = format!("nothing written by {}", call.what);
    let finding = Finding::new(expected, changes.join("; ")).with_evidence(brief(answer));
    Err(Stop::Fail(finding))
}

fn is_refusal(call: &BadCall, answer: &Answer) -> Result<(), Stop> {
    expect(
        (400..500).contains(&answer.status),
        format!("{} to be answered with 4xx", call.what),
        brief(answer),
    )?;
    let json = answer.json();
    expect(
        json.is_some_and(|json| json.is_object()),
        format!("{} to be answered with a JSON error", call.what),
        brief(answer),
    )
}

/// An answer without its path, which holds a kilobyte of key.
fn brief(answer: &Answer) -> String {
    let body: String = String::from_utf8_lossy(&answer.body)
        .chars()
        .take(200)
        .collect();
    format!("{} {body:?}", answer.status)
}

/// Every table with its number of rows and a digest of them.
async fn rows(postgres: &Client) -> Result<Vec<String>, Stop> {
    const TABLES: &str = "SELECT format('%I.%I', table_schema, table_name) \
        FROM information_schema.tables \
        WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema') \
        ORDER BY 1";
    let mut seen = Vec::new();
    for table in postgres.query(TABLES, &[]).await? {
        let name: String = table.get(0);
        let digest = format!(
            "SELECT count(*) || ' rows, ' || md5(coalesce(string_agg(t::text, ' ' ORDER BY t::text), '')) FROM {name} t"
        );
        let row = postgres.query_one(&digest, &[]).await?;
        seen.push(format!("{name}: {}", row.get::<_, String>(0)));
    }
    Ok(seen)
}
