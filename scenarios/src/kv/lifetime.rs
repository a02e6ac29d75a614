//! KV-4: a value ends when its time has come. The only criterion here that lets real seconds pass.

use super::client::KvClient;
use futures::FutureExt;
use std::future::Future;
use std::time::Duration;
use touchstone_core::{Criterion, Finding, Profile};
use touchstone_engine::poll::{Look, poll_until};
use touchstone_engine::scenario::{Context, OrFail, Scenario, Stop};
use touchstone_engine::subject::OperationName;

/// How late a value may go.
const LATE_MAX: Duration = Duration::from_secs(1);
/// Redis counts in milliseconds from a time it read a little before: so much may seem early to us.
const EARLY_TOLERANCE_US: u64 = 5_000;
/// Beyond what is allowed, so that a late end is told with its time.
const GRACE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// KV-4.
pub(super) const GONE_IN_TIME: Scenario = Scenario {
    criterion: Criterion {
        id: "KV-4",
        statement: "After the TTL the key is gone on both sides, not earlier than the TTL, at most 1 s later",
        profile: Profile::Merge,
    },
    expected: Duration::from_secs(3),
    run: |context| gone_in_time(context).boxed(),
};

/// A value with an end: when that was asked for, and when it was acknowledged.
struct Ending<'a> {
    what: &'a str,
    key: &'a str,
    ttl: Duration,
    asked_us: u64,
    acknowledged_us: u64,
}

async fn gone_in_time(context: &Context) -> Result<(), Stop> {
    use OperationName::{KvExpire, KvGet, KvSet, KvSetEx};
    let kv = KvClient::open(context, &[KvSetEx, KvGet, KvSet, KvExpire]).await?;
    context.step("one value set with a TTL of 1 s, another given 2 s afterwards");
    let answer = kv.set_ex("set", b"value", 1).await?;
    let set = Ending {
        what: "set with a TTL of 1 s",
        key: "set",
        ttl: Duration::from_secs(1),
        asked_us: answer.called_us,
        acknowledged_us: answer.returned_us,
    };
    kv.set("expire", b"value").await?;
    let (_, answer) = kv.expire("expire", 2).await?;
    let expire = Ending {
        what: "given a TTL of 2 s",
        key: "expire",
        ttl: Duration::from_secs(2),
        asked_us: answer.called_us,
        acknowledged_us: answer.returned_us,
    };
    context.step("watch both, through the service and in the store");
    futures::try_join!(
        watch_service(context, &kv, &set),
        watch_store(context, &kv, &set),
        watch_service(context, &kv, &expire),
        watch_store(context, &kv, &expire),
    )?;
    Ok(())
}

async fn watch_service(context: &Context, kv: &KvClient, ending: &Ending<'_>) -> Result<(), Stop> {
    let look = || async { Ok(kv.get(ending.key).await?.0.is_some()) };
    watch(context, ending, "through the service", look).await
}

async fn watch_store(context: &Context, kv: &KvClient, ending: &Ending<'_>) -> Result<(), Stop> {
    let stored_key = kv.stored_key(ending.key);
    let look = || kv.store.exists(&stored_key);
    watch(context, ending, "in the store", look).await
}

/// Looks until the value is gone. A look proves earliness by its return, lateness by its call: our
/// own delay can accuse nobody.
async fn watch<F, Fut>(
    context: &Context,
    ending: &Ending<'_>,
    where_seen: &str,
    is_there: F,
) -> Result<(), Stop>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<bool, Stop>>,
{
    let ttl_us = ending.ttl.as_micros() as u64;
    let earliest_us = ending.asked_us + ttl_us - EARLY_TOLERANCE_US;
    let latest_us = ending.acknowledged_us + ttl_us + LATE_MAX.as_micros() as u64;
    let since_set_ms = |at_us: u64| at_us.saturating_sub(ending.asked_us) / 1000;
    let what = format!("a value {} to be gone {where_seen}", ending.what);
    let look = || async {
        let looked_us = context.clock().now_us();
        match is_there().await {
            Ok(true) if looked_us <= latest_us => {
                Look::NotYet(format!("there after {} ms", since_set_ms(looked_us)))
            }
            Ok(true) => Look::Ready(Ok((looked_us, true))),
            Ok(false) => Look::Ready(Ok((context.clock().now_us(), false))),
            Err(stop) => Look::Ready(Err(stop)),
        }
    };
    let looked = poll_until(&what, ending.ttl + LATE_MAX + GRACE, POLL, look);
    let (at_us, still_there) = looked.await.or_fail(&what)??;
    let after_ms = since_set_ms(at_us);
    let finding = |expected: String, seen: String| {
        let told = format!(
            "the request was sent at {} ms and acknowledged at {} ms",
            ending.asked_us / 1000,
            ending.acknowledged_us / 1000
        );
        Err(Stop::Fail(Finding::new(expected, seen).with_evidence(told)))
    };
    if still_there {
        let seen = format!("still there {after_ms} ms after it was set");
        return finding(format!("{what} at most 1 s after its TTL"), seen);
    }
    if at_us < earliest_us {
        let seen = format!("gone {after_ms} ms after it was set");
        return finding(format!("{what} not earlier than its TTL"), seen);
    }
    context.observe(format!(
        "{}: gone {where_seen} after {after_ms} ms",
        ending.what
    ));
    Ok(())
}
