//! CACHE-6: pattern invalidation deletes every match and nothing else, in batches, without KEYS.

use crate::store_view::StoreView;
use futures::FutureExt;
use std::collections::BTreeMap;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::scenario::{Context, Scenario, Stop, expect};
use touchstone_engine::subject::client::AnswerKind;
use touchstone_engine::subject::manifest::Manifest;
use touchstone_engine::subject::{HttpClient, OperationName};

const MATCHES: usize = 10_000;
/// Keys a pipeline of ours sets at once.
const PIPELINE: usize = 1_000;
/// A deletion that takes fewer keys on average is no batch.
const BATCH_MIN: u64 = 10;

/// CACHE-6.
pub(super) const BY_PATTERN: Scenario = Scenario {
    criterion: Criterion {
        id: "CACHE-6",
        statement: "Pattern invalidation deletes every match among 10,000 keys and no other; uses SCAN, never KEYS; deletes in batches; nothing to delete is no error",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| by_pattern(context).boxed(),
};

async fn by_pattern(context: &Context) -> Result<(), Stop> {
    context.require(&[OperationName::CacheInvalidate])?;
    let manifest = context.manifest();
    let pattern = &context.section("cache", manifest.cache.as_ref())?.pattern;
    let entity = context.section("keys.entity", manifest.keys.entity.as_ref())?;
    let (environment, instance) = context.start().await?;
    let store = StoreView::open(&environment).await?;
    let entity_key = |id: usize| entity.fill(|name| (name == "id").then(|| id.to_string()));
    context.step(format!(
        "set {MATCHES} keys that match, and others that nearly do"
    ));
    let matching: Vec<String> = (1..=MATCHES).map(entity_key).collect();
    set_all(&store, &matching).await?;
    set_all(&store, &others(manifest, &matching[0])).await?;
    let elsewhere = (manifest.stores.redis_database + 1) % 16;
    let elsewhere = StoreView::open_database(&environment, elsewhere).await?;
    set_all(&elsewhere, &matching[..3]).await?;
    // What matches is Redis's own word, not ours.
    let matched = store.keys(pattern).await?;
    let mut staying = store.keys("*").await?;
    staying.retain(|key| matched.binary_search(key).is_err());
    if matched.len() < MATCHES || staying.is_empty() {
        let (matched, staying) = (matched.len(), staying.len());
        return Err(Stop::unknown(format!(
            "`cache.pattern` `{pattern}` matches {matched} of the keys made from `keys.entity`, and not {staying} others"
        )));
    }
    context.step(format!("invalidate `{pattern}`"));
    let before = store.command_counts().await?;
    let deleted = invalidate(&instance.http, pattern).await?;
    let counts = difference(&before, &store.command_counts().await?);
    all_matches_and_no_other(&store, pattern, &staying).await?;
    let kept_elsewhere = elsewhere.keys("*").await?.len();
    expect(
        kept_elsewhere == 3,
        "3 keys kept in another database",
        format!("{kept_elsewhere}"),
    )?;
    let expected = format!("the answer {}, as many as matched", matched.len());
    expect(
        deleted == matched.len() as i64,
        expected,
        format!("{deleted}"),
    )?;
    judge_commands(context, &counts, matched.len() as u64)?;
    context.step("invalidate again: nothing to delete");
    let deleted = invalidate(&instance.http, pattern).await?;
    expect(
        deleted == 0,
        "0 with nothing to delete",
        format!("{deleted}"),
    )?;
    all_matches_and_no_other(&store, pattern, &staying).await
}

/// Near misses of an entity's key, and the keys of other areas.
fn others(manifest: &Manifest, entity_key: &str) -> Vec<String> {
    let stem = entity_key.trim_end_matches('1');
    let bare = stem.trim_end_matches(|last: char| !last.is_alphanumeric());
    let mut all = vec![
        bare.to_owned(),
        format!("{bare}s:1"),
        format!("{bare}-1"),
        format!("x{entity_key}"),
        format!(" {entity_key}"),
        format!("other:{entity_key}"),
        entity_key.to_uppercase(),
    ];
    let keys = &manifest.keys;
    for template in [&keys.kv, &keys.limiter].into_iter().flatten() {
        all.push(template.fill(|_| Some(entity_key.to_owned())));
        all.push(template.fill(|_| Some("1".to_owned())));
    }
    all
}

async fn set_all(store: &StoreView, keys: &[String]) -> Result<(), Stop> {
    for chunk in keys.chunks(PIPELINE) {
        let mut pipeline = redis::pipe();
        for key in chunk {
            pipeline.cmd("SET").arg(key).arg("{}").ignore();
        }
        pipeline.exec_async(&mut store.connection()).await?;
    }
    Ok(())
}

async fn invalidate(http: &HttpClient, pattern: &str) -> Result<i64, Stop> {
    let values: &[(&str, &[u8])] = &[("pattern", pattern.as_bytes())];
    let answer = http.call(OperationName::CacheInvalidate, values).await?;
    let number = answer.number().filter(|_| answer.kind() == AnswerKind::Ok);
    number.ok_or_else(|| Stop::fail("the number of deleted entries", answer.describe()))
}

async fn all_matches_and_no_other(
    store: &StoreView,
    pattern: &str,
    staying: &[Vec<u8>],
) -> Result<(), Stop> {
    let left = store.keys(pattern).await?.len();
    expect(
        left == 0,
        format!("no key left that matches `{pattern}`"),
        format!("{left} left"),
    )?;
    let all = store.keys("*").await?;
    let gone = staying.iter().filter(|key| all.binary_search(key).is_err());
    let gone: Vec<String> = gone.map(|key| key.escape_ascii().to_string()).collect();
    expect(
        gone.is_empty(),
        "every key that does not match to stay",
        format!("deleted as well: {}", gone.join(", ")),
    )
}

fn difference(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let since = |(name, count): (&String, &u64)| {
        let calls = count - before.get(name).copied().unwrap_or(0).min(*count);
        (calls > 0).then(|| (name.clone(), calls))
    };
    after.iter().filter_map(since).collect()
}

/// The server's own count of what was carried out between the two looks.
fn judge_commands(
    context: &Context,
    counts: &BTreeMap<String, u64>,
    matches: u64,
) -> Result<(), Stop> {
    let calls = |name: &str| counts.get(name).copied().unwrap_or(0);
    let told: Vec<String> = counts
        .iter()
        .map(|(name, calls)| format!("{name} {calls}"))
        .collect();
    let told = format!("commands carried out meanwhile: {}", told.join(", "));
    context.observe(told.clone());
    let demand = |holds: bool, expected: String, seen: String| {
        let finding = || Finding::new(expected, seen).with_evidence(told.clone());
        if holds {
            Ok(())
        } else {
            Err(Stop::Fail(finding()))
        }
    };
    let keys = calls("keys");
    demand(
        keys == 0,
        "KEYS never used".to_owned(),
        format!("KEYS used {keys} times"),
    )?;
    let scans = calls("scan");
    demand(
        scans > 1,
        "SCAN used, page by page".to_owned(),
        format!("SCAN used {scans} times"),
    )?;
    let deletions = calls("del") + calls("unlink");
    demand(
        (2..=matches / BATCH_MIN).contains(&deletions),
        format!("{matches} keys deleted in batches of {BATCH_MIN} or more, not all at once"),
        format!("{deletions} calls of DEL and UNLINK"),
    )
}
