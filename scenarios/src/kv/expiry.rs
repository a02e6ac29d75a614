//! KV-2 and KV-3: setting an expiry, and what remains of it. Time is moved in the store.

use super::client::KvClient;
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::OperationName;

/// KV-2.
pub(super) const EXPIRE: Scenario = Scenario {
    criterion: Criterion {
        id: "KV-2",
        statement: "EXPIRE on a key answers 1, on no key 0; the TTL then seen by the store is within 1 s of it",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| expire(context).boxed(),
};

/// KV-3.
pub(super) const TTL: Scenario = Scenario {
    criterion: Criterion {
        id: "KV-3",
        statement: "TTL: -2 for no key, -1 without expiry, else the remaining seconds, never rising",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| ttl(context).boxed(),
};

async fn expire(context: &Context) -> Result<(), Stop> {
    let kv = KvClient::open(context, &[OperationName::KvSet, OperationName::KvExpire]).await?;
    context.step("expire a key that is there: first, longer, shorter, far away");
    kv.set("there", b"value").await?;
    let stored_key = kv.stored_key("there");
    for ttl_s in [3600, 7200, 60, 1_000_000_000] {
        let (answered, answer) = kv.expire("there", ttl_s).await?;
        let one = format!("1 for an expiry of {ttl_s} s on a key that is there");
        expect(answered == 1, one, answer.describe())?;
        let left_ms = kv.store.pttl_ms(&stored_key).await?;
        let elapsed_ms = (context.clock().now_us() - answer.called_us).div_ceil(1000) as i64;
        let most_ms = ttl_s as i64 * 1000;
        let allowed = most_ms - 1000 - elapsed_ms..=most_ms + 1000;
        let finding = Finding::new(
            format!("a TTL within 1 s of {ttl_s} s in the store"),
            format!("PTTL {left_ms} ms"),
        );
        let finding = finding
            .with_evidence(answer.describe())
            .with_evidence(format!(
                "PTTL was read {elapsed_ms} ms after the request was sent"
            ));
        if !allowed.contains(&left_ms) {
            return Err(Stop::Fail(finding));
        }
    }
    let value = kv.store.get(&stored_key).await?;
    let untouched = value.as_deref() == Some(b"value");
    expect(untouched, "the value as it was set", format!("{value:?}"))?;
    context.step("expire keys that are not there: one never set, one whose time has come");
    kv.set("expired", b"value").await?;
    kv.store.expire_now(&kv.stored_key("expired")).await?;
    for key in ["never", "expired"] {
        let (answered, answer) = kv.expire(key, 60).await?;
        let zero = format!("0 for an expiry on a key that is not there ({key})");
        expect(answered == 0, zero, answer.describe())?;
        let exists = kv.store.exists(&kv.stored_key(key)).await?;
        expect(
            !exists,
            "no key made by an expiry",
            format!("the key `{key}` is in the store"),
        )?;
    }
    Ok(())
}

async fn ttl(context: &Context) -> Result<(), Stop> {
    let kv = KvClient::open(context, &[OperationName::KvSet, OperationName::KvTtl]).await?;
    context.step("no key, and a key without expiry");
    expect_ttl(&kv, "never", -2).await?;
    kv.set("stays", b"value").await?;
    expect_ttl(&kv, "stays", -1).await?;
    context
        .step("what remains, as the store has it; each start lies before a second's end or middle");
    kv.set("moves", b"value").await?;
    let stored_key = kv.stored_key("moves");
    // Wherever the service rounds, a few milliseconds of reading cross a boundary.
    for start_ms in [86_400_000, 100_000, 9_503, 9_003] {
        kv.store.move_expiry(&stored_key, start_ms).await?;
        never_rises(&kv, "moves").await?;
    }
    context.step("its time has come");
    kv.store.expire_now(&stored_key).await?;
    expect_ttl(&kv, "moves", -2).await
}

async fn expect_ttl(kv: &KvClient, key: &str, expected: i64) -> Result<(), Stop> {
    let (seconds, answer) = kv.number(OperationName::KvTtl, key).await?;
    let why = if expected == -2 {
        "is not there"
    } else {
        "has no expiry"
    };
    expect(
        seconds == expected,
        format!("a TTL of {expected} for a key that {why}"),
        answer.describe(),
    )
}

/// Reads in a row: each within the rounding of what the store has just before and just after, none
/// above the one before.
async fn never_rises(kv: &KvClient, key: &str) -> Result<(), Stop> {
    const READS: usize = 20;
    let stored_key = kv.stored_key(key);
    let mut last_s = i64::MAX;
    let mut before_ms = kv.store.pttl_ms(&stored_key).await?;
    for _ in 0..READS {
        let (seconds, answer) = kv.number(OperationName::KvTtl, key).await?;
        let after_ms = kv.store.pttl_ms(&stored_key).await?;
        let true_s = after_ms / 1000..=(before_ms + 999) / 1000;
        expect(
            true_s.contains(&seconds),
            format!(
                "the remaining seconds; the store has {before_ms} ms before and {after_ms} ms after"
            ),
            answer.describe(),
        )?;
        expect(
            seconds <= last_s,
            format!("a TTL that never rises, {last_s} s or less"),
            answer.describe(),
        )?;
        (last_s, before_ms) = (seconds, after_ms);
    }
    Ok(())
}
