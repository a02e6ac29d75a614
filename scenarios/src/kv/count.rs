//! KV-6: deleting and asking for existence answer with numbers that are true.

use super::client::KvClient;
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Profile};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::OperationName;

/// KV-6.
pub(super) const DELETE_AND_EXISTS: Scenario = Scenario {
    criterion: Criterion {
        id: "KV-6",
        statement: "DEL answers the count of deleted keys; EXISTS answers 1 or 0 as a number",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| delete_and_exists(context).boxed(),
};

async fn delete_and_exists(context: &Context) -> Result<(), Stop> {
    use OperationName::{KvDelete, KvDeleteTwo, KvExists, KvSet};
    let kv = KvClient::open(context, &[KvSet, KvDelete, KvDeleteTwo, KvExists]).await?;
    context.step("EXISTS before and after a set; also of an empty value");
    for (key, value) in [("full", b"value".as_slice()), ("empty", b"")] {
        expect_number(&kv, KvExists, key, 0).await?;
        kv.set(key, value).await?;
        expect_number(&kv, KvExists, key, 1).await?;
    }
    context.step("DEL of one key that is there, and of one that is not");
    for key in ["full", "empty"] {
        expect_number(&kv, KvDelete, key, 1).await?;
        expect_gone(&kv, key).await?;
        expect_number(&kv, KvExists, key, 0).await?;
        expect_number(&kv, KvDelete, key, 0).await?;
    }
    context.step("DEL of two keys: both there, one there, none there");
    for there in [vec!["a", "b"], vec!["b"], vec![]] {
        for key in &there {
            kv.set(key, b"value").await?;
        }
        kv.set("other", b"value").await?;
        let values: &[(&str, &[u8])] = &[("key", b"a"), ("key2", b"b")];
        let (count, answer) = kv.number_with(KvDeleteTwo, values).await?;
        let expected = format!("{} deleted of the two keys a and b", there.len());
        expect(count == there.len() as i64, expected, answer.describe())?;
        expect_gone(&kv, "a").await?;
        expect_gone(&kv, "b").await?;
        let kept = kv.store.exists(&kv.stored_key("other")).await?;
        expect(kept, "a key that was not named to stay", "it is gone")?;
    }
    Ok(())
}

async fn expect_number(
    kv: &KvClient,
    name: OperationName,
    key: &str,
    expected: i64,
) -> Result<(), Stop> {
    let there = kv.store.exists(&kv.stored_key(key)).await?;
    let (number, answer) = kv.number(name, key).await?;
    let state = if there { "is" } else { "is not" };
    expect(
        number == expected,
        format!(
            "{expected} from `{}` for the key `{key}`, which {state} in the store",
            name.key()
        ),
        answer.describe(),
    )
}

async fn expect_gone(kv: &KvClient, key: &str) -> Result<(), Stop> {
    let there = kv.store.exists(&kv.stored_key(key)).await?;
    expect(
        !there,
        format!("no `{key}` in the store after its deletion"),
        "it is there",
    )
}
