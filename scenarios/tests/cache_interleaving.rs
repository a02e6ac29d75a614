//! CACHE-5: readers, updates, invalidations and evictions at the same time leave no stale read after an
//! acknowledged update.
//!
//! Nothing is held here: a slow line between one instance and Redis makes room for the races. So the
//! same seed gives the same schedule, not the same interleaving.

mod support;

use proptest::test_runner::Config;
use support::{found, holds, on_backend, remembering, told};
use touchstone_core::Seed;
use touchstone_engine::scenario::{Context, Stop};
use touchstone_scenarios::property::{CacheSubject, config, search};

const REGRESSIONS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/proptest-regressions/cache_interleaving.txt"
);

async fn no_stale_read(context: &Context, config: Config) -> Result<(), Stop> {
    let subject = CacheSubject::open(context).await?;
    let schedules = CacheSubject::interleavings;
    search(config, schedules, |schedule| subject.run(schedule)).await
}

#[test]
fn no_interleaving_serves_what_an_acknowledged_update_has_replaced() {
    let config = remembering(REGRESSIONS, 10);
    holds(on_backend("cache", None, async |context| {
        no_stale_read(context, config).await
    }));
}

#[test]
fn an_update_that_leaves_the_cached_entry_is_found() {
    let ended = on_backend("cache-keeps", Some("update-keeps-cache"), async |context| {
        no_stale_read(context, config(Seed(1), 100)).await
    });
    let finding = found(ended);
    assert!(
        finding.seen.starts_with("the older value"),
        "{}",
        told(&finding)
    );
}

#[test]
fn a_fill_with_what_was_read_before_the_update_is_found() {
    let ended = on_backend("cache-stale-set", Some("stale-set"), async |context| {
        no_stale_read(context, config(Seed(1), 200)).await
    });
    let finding = found(ended);
    assert!(
        finding.seen.starts_with("the older value"),
        "{}",
        told(&finding)
    );
}
