//! What the way through the proxy costs: each operation direct on Redis, through the proxy, and turn by turn.
//!
//! `direct` and `proxied` are times of one operation. `added` alternates between both in every iteration
//! and is what the proxy adds; the medians of its pairs give the ratio that is printed and kept.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId};
use redis::cmd;
use std::cell::RefCell;
use std::time::{Duration, Instant};
use touchstone_benches::{BenchError, Lazy, Mode, RedisRig, Route, criterion, demand};

/// Small enough that the round trip is what is measured.
const VALUE: [u8; 100] = [b'x'; 100];
const KEY: &str = "bench";

#[derive(Debug, Clone, Copy)]
enum Operation {
    Connect,
    Ping,
    Set,
    Get,
    ExpireTtl,
}

impl Operation {
    const ALL: [Operation; 5] = [
        Operation::Connect,
        Operation::Ping,
        Operation::Set,
        Operation::Get,
        Operation::ExpireTtl,
    ];

    fn name(self) -> &'static str {
        match self {
            Operation::Connect => "connect",
            Operation::Ping => "ping",
            Operation::Set => "set",
            Operation::Get => "get",
            Operation::ExpireTtl => "expire_ttl",
        }
    }
}

async fn perform(rig: &RedisRig, route: Route, operation: Operation) -> Result<(), BenchError> {
    let mut redis = rig.connection(route);
    match operation {
        Operation::Connect => drop(rig.connect(route).await?),
        Operation::Ping => cmd("PING").exec_async(&mut redis).await?,
        Operation::Set => {
            cmd("SET")
                .arg(KEY)
                .arg(&VALUE)
                .exec_async(&mut redis)
                .await?
        }
        Operation::Get => {
            let value: Vec<u8> = cmd("GET").arg(KEY).query_async(&mut redis).await?;
            if value.len() != VALUE.len() {
                return Err(BenchError::wrong(
                    "the value",
                    format!("{} bytes", value.len()),
                ));
            }
        }
        // Two round trips, as a service makes them that looks after what it has set.
        Operation::ExpireTtl => {
            cmd("EXPIRE")
                .arg(KEY)
                .arg(60)
                .exec_async(&mut redis)
                .await?;
            let left: i64 = cmd("TTL").arg(KEY).query_async(&mut redis).await?;
            if left < 1 {
                return Err(BenchError::wrong("a TTL", left.to_string()));
            }
        }
    }
    Ok(())
}

/// Every benchmark finds the key, whichever of them a filter leaves.
fn key_set(rig: &RedisRig) -> &RedisRig {
    let set = perform(rig, Route::Direct, Operation::Set);
    demand(rig.runtime().block_on(set));
    rig
}

fn one_way(group: &mut BenchmarkGroup<'_, WallTime>, rig: &Lazy<RedisRig>, operation: Operation) {
    for route in Route::ALL {
        group.bench_function(
            BenchmarkId::new(operation.name(), route.name()),
            |bencher| {
                let rig = key_set(rig.get());
                bencher
                    .to_async(rig.runtime())
                    .iter(async || demand(perform(rig, route, operation).await));
            },
        );
    }
}

/// Both ways turn by turn: whatever else the machine does then, it does to both.
fn turn_by_turn(
    group: &mut BenchmarkGroup<'_, WallTime>,
    rig: &Lazy<RedisRig>,
    operation: Operation,
) {
    let pairs_ns: RefCell<Vec<(u64, u64)>> = RefCell::default();
    group.bench_function(BenchmarkId::new(operation.name(), "added"), |bencher| {
        let rig = key_set(rig.get());
        bencher
            .to_async(rig.runtime())
            .iter_custom(async |iterations| {
                let (mut direct, mut proxied) = (Duration::ZERO, Duration::ZERO);
                for turn in 0..iterations {
                    let pair = time_pair(rig, operation, turn % 2 == 0).await;
                    direct += pair.0;
                    proxied += pair.1;
                    pairs_ns.borrow_mut().push((nanos(pair.0), nanos(pair.1)));
                }
                // Criterion takes no zero; a difference below the clock's grain is one.
                proxied.saturating_sub(direct).max(Duration::from_nanos(1))
            });
    });
    let pairs_ns = pairs_ns.into_inner();
    if !pairs_ns.is_empty() && rig.get().session().mode == Mode::Measure {
        let group = format!("redis/{}", operation.name());
        rig.get().session().note_ratio(&group, &pairs_ns);
    }
}

async fn time_pair(
    rig: &RedisRig,
    operation: Operation,
    direct_first: bool,
) -> (Duration, Duration) {
    let time = async |route| {
        let began = Instant::now();
        demand(perform(rig, route, operation).await);
        began.elapsed()
    };
    if direct_first {
        let direct = time(Route::Direct).await;
        (direct, time(Route::Proxied).await)
    } else {
        let proxied = time(Route::Proxied).await;
        (time(Route::Direct).await, proxied)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn main() {
    let rig = Lazy::new(RedisRig::start);
    let mut criterion = criterion();
    let mut group = criterion.benchmark_group("redis");
    for operation in Operation::ALL {
        one_way(&mut group, &rig, operation);
        turn_by_turn(&mut group, &rig, operation);
    }
    group.finish();
    criterion.final_summary();
    if let Some(rig) = rig.into_inner() {
        demand(rig.finish());
    }
}
