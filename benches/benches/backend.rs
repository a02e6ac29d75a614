//! What a client of the reference backend waits for: each operation over HTTP, one request at a time, on a
//! standing connection, with the proxies between backend and stores as in every check.

use criterion::measurement::WallTime;
use criterion::{Bencher, BenchmarkGroup};
use std::time::{Duration, Instant};
use touchstone_benches::{BackendRig, BenchError, Lazy, criterion, demand};
use touchstone_engine::subject::OperationName;

/// Small enough that the round trips are what is measured.
const VALUE: [u8; 100] = [b'x'; 100];
const KEY: (&str, &[u8]) = ("key", b"bench");

type Group<'a> = BenchmarkGroup<'a, WallTime>;

async fn set(rig: &BackendRig) -> Result<(), BenchError> {
    let values = [KEY, ("value", VALUE.as_slice())];
    rig.call(OperationName::KvSet, &values).await.map(drop)
}

async fn get(rig: &BackendRig) -> Result<(), BenchError> {
    rig.call(OperationName::KvGet, &[KEY]).await.map(drop)
}

async fn read(rig: &BackendRig) -> Result<(), BenchError> {
    rig.call_entity(OperationName::EntityRead).await.map(drop)
}

async fn invalidate(rig: &BackendRig) -> Result<(), BenchError> {
    let operation = OperationName::EntityInvalidate;
    rig.call_entity(operation).await.map(drop)
}

async fn limited(rig: &BackendRig) -> Result<(), BenchError> {
    let values: [(&str, &[u8]); 2] = [("user", b"bench"), ("endpoint", b"bench")];
    rig.call(OperationName::Limited, &values).await.map(drop)
}

/// Does `before` once, then measures the operation alone.
fn plain(
    group: &mut Group<'_>,
    rig: &Lazy<BackendRig>,
    name: &str,
    before: impl AsyncFn(&BackendRig) -> Result<(), BenchError>,
    operation: impl AsyncFn(&BackendRig) -> Result<(), BenchError>,
) {
    group.bench_function(name, |bencher: &mut Bencher<'_>| {
        let rig = rig.get();
        demand(rig.runtime().block_on(before(rig)));
        let once = async || demand(operation(rig).await);
        bencher.to_async(rig.runtime()).iter(once);
    });
}

/// Does `before` in front of every operation, outside of the measured time.
fn prepared(
    group: &mut Group<'_>,
    rig: &Lazy<BackendRig>,
    name: &str,
    before: impl AsyncFn(&BackendRig) -> Result<(), BenchError>,
    operation: impl AsyncFn(&BackendRig) -> Result<(), BenchError>,
) {
    group.bench_function(name, |bencher: &mut Bencher<'_>| {
        let rig = rig.get();
        let custom = async |iterations| {
            let mut measured = Duration::ZERO;
            for _ in 0..iterations {
                demand(before(rig).await);
                let began = Instant::now();
                demand(operation(rig).await);
                measured += began.elapsed();
            }
            measured
        };
        bencher.to_async(rig.runtime()).iter_custom(custom);
    });
}

async fn nothing(_: &BackendRig) -> Result<(), BenchError> {
    Ok(())
}

async fn cached(rig: &BackendRig) -> Result<(), BenchError> {
    read(rig).await?;
    rig.demand_cached(true).await
}

async fn not_cached(rig: &BackendRig) -> Result<(), BenchError> {
    invalidate(rig).await?;
    rig.demand_cached(false).await
}

fn main() {
    let rig = Lazy::new(BackendRig::start);
    let mut criterion = criterion();
    let mut group = criterion.benchmark_group("backend");
    plain(&mut group, &rig, "health", nothing, BackendRig::health);
    plain(&mut group, &rig, "set", nothing, set);
    plain(&mut group, &rig, "get", set, get);
    plain(&mut group, &rig, "cache_hit", cached, read);
    prepared(&mut group, &rig, "cache_miss", not_cached, read);
    prepared(&mut group, &rig, "invalidation", cached, invalidate);
    plain(&mut group, &rig, "limited", nothing, limited);
    group.finish();
    criterion.final_summary();
    if let Some(rig) = rig.into_inner() {
        demand(rig.finish());
    }
}
