//! KV-5: a value and its expiry are set in one; a plain set takes the expiry away.

use super::client::KvClient;
use futures::FutureExt;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::proxy::{CommandRecord, Expiry, When};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::schedule::Traced;
use touchstone_engine::store::StoreKind;
use touchstone_engine::subject::OperationName;

const TTL_S: u64 = 600;
/// What only looks.
const READS: [&str; 8] = [
    "GET",
    "EXISTS",
    "TTL",
    "PTTL",
    "TYPE",
    "STRLEN",
    "EXPIRETIME",
    "PEXPIRETIME",
];
/// What runs as one, whatever is in it.
const SCRIPTS: [&str; 3] = ["EVAL", "EVALSHA", "FCALL"];

/// KV-5.
pub(super) const ONE_COMMAND: Scenario = Scenario {
    criterion: Criterion {
        id: "KV-5",
        statement: "SET over a key with a TTL clears it; SET with an expiry sets value and TTL in one command",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| one_command(context).boxed(),
};

async fn one_command(context: &Context) -> Result<(), Stop> {
    let kv = KvClient::open(context, &[OperationName::KvSet, OperationName::KvSetEx]).await?;
    for (key, is_there) in [("new", false), ("there", true)] {
        context.step(format!("set `{key}` with an expiry; what is sent is read"));
        if is_there {
            kv.set(key, b"before").await?;
        }
        let stored_key = kv.stored_key(key);
        let instances = kv.environment.instances();
        let wiring = &instances[0].wiring;
        let begin = Traced::begin(wiring).await?;
        let answer = kv.set_ex(key, b"value", TTL_S).await?;
        let about = [(StoreKind::Redis, When::any().key(&stored_key))];
        let traced = Traced::since(begin, wiring, &about).await?;
        judge(&traced)?;
        let left_ms = kv.store.pttl_ms(&stored_key).await?;
        let has_ttl = (1..=TTL_S as i64 * 1000).contains(&left_ms);
        expect(
            has_ttl,
            format!("a TTL of up to {TTL_S} s"),
            answer.describe(),
        )?;
        context.step(format!("set `{key}` without one"));
        kv.set(key, b"after").await?;
        let left_ms = kv.store.pttl_ms(&stored_key).await?;
        let seen = format!("PTTL {left_ms}");
        expect(left_ms == -1, "no expiry after a set without one", seen)?;
    }
    Ok(())
}

fn judge(traced: &Traced) -> Result<(), Stop> {
    let writes: Vec<&CommandRecord> = traced
        .commands
        .iter()
        .map(|(_, record)| record)
        .filter(|record| !READS.contains(&record.name.as_ref()))
        .collect();
    let one = |record: &CommandRecord| {
        record.expiry == Some(Expiry::WithValue) || SCRIPTS.contains(&record.name.as_ref())
    };
    let in_one = match writes.as_slice() {
        [only] => one(only),
        several => !several.is_empty() && several.iter().all(|record| record.in_transaction),
    };
    if in_one {
        return Ok(());
    }
    let expected = "one command, transaction or script that sets value and TTL";
    let seen = format!("{} commands that write", writes.len());
    let mut finding = Finding::new(expected, seen);
    finding.evidence = traced.told(None);
    Err(Stop::Fail(finding))
}
