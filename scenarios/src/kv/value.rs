//! KV-1: what is set on one side is what is read on the other, byte for byte.

use super::client::KvClient;
use futures::FutureExt;
use rand::Rng;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile, Seed};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::OperationName;

const MIB: usize = 1024 * 1024;

/// KV-1.
pub(super) const BOTH_WAYS: Scenario = Scenario {
    criterion: Criterion {
        id: "KV-1",
        statement: "A value set through the service is the value in the store, and the other way round: empty, 1 byte, UTF-8, arbitrary bytes, 1 MiB",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(1),
    run: |context| both_ways(context).boxed(),
};

async fn both_ways(context: &Context) -> Result<(), Stop> {
    let kv = KvClient::open(context, &[OperationName::KvSet, OperationName::KvGet]).await?;
    let all = values(context.seed());
    let carried = |value: &[u8]| kv.carries_bytes() || std::str::from_utf8(value).is_ok();
    for (name, _) in all.iter().filter(|(_, value)| !carried(value)) {
        context.observe(format!(
            "{name}: not checked, the manifest's operations carry text only"
        ));
    }
    let values = || all.iter().filter(|(_, value)| carried(value));
    context.step("set through the service, read in the store and through the service");
    for (name, value) in values() {
        let key = format!("up {name}");
        kv.set(&key, value).await?;
        let stored = kv.store.get(&kv.stored_key(&key)).await?;
        same(
            value,
            stored.as_deref(),
            &format!("{name}, set through the service, in the store"),
        )?;
        let (read, _) = kv.get(&key).await?;
        same(
            value,
            read.as_deref(),
            &format!("{name}, set and read through the service"),
        )?;
    }
    context.step("set in the store, read through the service");
    for (name, value) in values() {
        let key = format!("down {name}");
        kv.store.set(&kv.stored_key(&key), value).await?;
        let (read, _) = kv.get(&key).await?;
        same(
            value,
            read.as_deref(),
            &format!("{name}, set in the store, through the service"),
        )?;
    }
    let (nothing, answer) = kv.get("never set").await?;
    expect(
        nothing.is_none(),
        "no value for a key that was never set",
        answer.describe(),
    )?;
    context.observe(format!("{} values, both ways", values().count()));
    Ok(())
}

fn values(seed: Seed) -> Vec<(&'static str, Vec<u8>)> {
    let mut mebibyte = vec![0; MIB];
    seed.rng().fill_bytes(&mut mebibyte);
    vec![
        ("an empty value", Vec::new()),
        ("one byte", b"x".to_vec()),
        ("one NUL", b"\0".to_vec()),
        ("UTF-8", "Grüße, 世界 🌍 e\u{301}".as_bytes().to_vec()),
        (
            "line ends and protocol",
            b"a\r\nb\n$5\r\n*1\r\n+OK\r\n".to_vec(),
        ),
        ("what looks like JSON", br#"{"a": "\u0000 \\ \""}"#.to_vec()),
        ("all 256 bytes", (0..=255).collect()),
        (
            "bytes that are no UTF-8",
            vec![0xff, 0xfe, 0x80, 0xc0, 0x00, 0xed, 0xa0, 0x80],
        ),
        (
            "1 MiB of text",
            b"touchstone ".iter().copied().cycle().take(MIB).collect(),
        ),
        ("1 MiB of random bytes", mebibyte),
    ]
}

fn same(expected: &[u8], seen: Option<&[u8]>, what: &str) -> Result<(), Stop> {
    let expectation = format!("{what}: {}", shown(expected, 0));
    let Some(seen) = seen else {
        return Err(Stop::fail(expectation, "no value"));
    };
    if seen == expected {
        return Ok(());
    }
    let pairs = expected.iter().zip(seen);
    let at = pairs.take_while(|(one, other)| one == other).count();
    let finding = Finding::new(expectation, shown(seen, 0))
        .with_evidence(format!("the first difference is at byte {at}"))
        .with_evidence(format!("expected from there: {}", shown(expected, at)))
        .with_evidence(format!("seen from there: {}", shown(seen, at)));
    Err(Stop::Fail(finding))
}

/// The length, and a few bytes.
fn shown(bytes: &[u8], from: usize) -> String {
    const SHOWN: usize = 24;
    let part = &bytes[from.min(bytes.len())..];
    let more = if part.len() > SHOWN { "..." } else { "" };
    let part = part[..part.len().min(SHOWN)].escape_ascii();
    format!("{} bytes, \"{part}\"{more}", bytes.len())
}
