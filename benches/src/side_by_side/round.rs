//! One round: every way in turns, several times over, so that what else the machine does meets all of them.

use super::client::Operation;
use super::faults::FaultSamples;
use super::load::{Latencies, Schedule, one_by_one, paced, pipelined};
use super::ways::{SEED, Way, Ways};
use crate::BenchError;
use crate::baseline::rounded;
use crate::record::load_average;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// As small as most values are, and as large as few.
const SMALL_VALUE_BYTES: usize = 100;
const LARGE_VALUE_BYTES: usize = 1024 * 1024;

/// How much is measured.
#[derive(Debug, Clone, Serialize)]
pub struct Sizes {
    /// How often all is measured.
    pub rounds: usize,
    /// Turns of each way in a round.
    pub turns: usize,
    /// How long a turn of each kind of load lasts, in milliseconds.
    pub turn_ms: u64,
    /// Requests a second in the measurements of latency: far below what any way can bear.
    pub requests_per_second: u32,
    /// Connections, where it is not one.
    pub clients: usize,
    /// Commands in a batch.
    pub pipeline: usize,
    /// How often a fault is put in force in each state.
    pub faults: usize,
}

impl Sizes {
    /// For the numbers.
    pub const MEASURE: Sizes = Sizes {
        rounds: 9,
        turns: 4,
        turn_ms: 250,
        requests_per_second: 10_000,
        clients: 32,
        pipeline: 16,
        faults: 100,
    };

    /// To see that all of it works.
    pub const SMOKE: Sizes = Sizes {
        rounds: 1,
        turns: 1,
        turn_ms: 5,
        requests_per_second: 2_000,
        clients: 2,
        pipeline: 4,
        faults: 2,
    };

    fn turn(&self) -> Duration {
        Duration::from_millis(self.turn_ms)
    }
}

/// What one round has shown.
#[derive(Debug, Serialize)]
pub struct Round {
    /// Runnable tasks, averaged over one minute, when it began: all of the machine's.
    pub load_average: f64,
    /// PING at a given rate, one connection.
    pub ping_one: BTreeMap<Way, Latency>,
    /// PING at the same rate, from many connections.
    pub ping_many: BTreeMap<Way, Latency>,
    /// GET in pipelines on many connections.
    pub pipelined: BTreeMap<Way, Throughput>,
    /// GET of a large value, one after another.
    pub large_get: BTreeMap<Way, Throughput>,
    /// SET of it.
    pub large_set: BTreeMap<Way, Throughput>,
    /// Our proxy only.
    pub faults: FaultSamples,
}

/// Round trips of all turns of a way.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub samples: u64,
    /// How many were left out because the load itself had lost its core.
    pub left_out: u64,
    /// Half of them took at most so long.
    pub p50_us: f64,
    /// Nine of ten.
    pub p90_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

impl Latency {
    fn of(latencies: &Latencies) -> Self {
        let histogram = &latencies.histogram_ns;
        let micros = |nanos: u64| rounded(nanos as f64 / 1e3);
        Self {
            samples: histogram.len(),
            left_out: latencies.left_out,
            p50_us: micros(histogram.value_at_quantile(0.5)),
            p90_us: micros(histogram.value_at_quantile(0.9)),
            p99_us: micros(histogram.value_at_quantile(0.99)),
            max_us: micros(histogram.max()),
        }
    }
}

/// The work done in all turns of a way.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Throughput {
    /// Commands, or values, a second.
    pub per_second: f64,
    /// What the proxy's process spent on a processor for each; `None` without a proxy.
    pub cpu_us: Option<f64>,
}

/// Measures one round.
pub(super) fn measure(ways: &mut Ways, sizes: &Sizes, round: usize) -> Result<Round, BenchError> {
    let load_average = load_average();
    let small = vec![b'x'; SMALL_VALUE_BYTES];
    let large = vec![b'y'; LARGE_VALUE_BYTES];
    let set_small = Operation::set("small", &small);
    let set_large = Operation::set("large", &large);
    store(ways, &[&set_small, &set_large])?;
    let get_small = Operation::get("small", &small);
    let get_large = Operation::get("large", &large);
    let (rate, span, clients) = (sizes.requests_per_second, sizes.turn(), sizes.clients);
    let even = |_| Schedule::even(rate, span);
    let seed = |turn| SEED.derive(&format!("round {round} turn {turn}")).0;
    let random = |turn| Schedule::independent(rate, clients, span, seed(turn));
    Ok(Round {
        load_average,
        ping_one: latency(ways, sizes, 1, even)?,
        ping_many: latency(ways, sizes, clients, random)?,
        pipelined: throughput(ways, sizes, |target| {
            pipelined(target, clients, sizes.pipeline, &get_small, span)
        })?,
        large_get: throughput(ways, sizes, |target| one_by_one(target, &get_large, span))?,
        large_set: throughput(ways, sizes, |target| one_by_one(target, &set_large, span))?,
        faults: ways.own.inject(sizes.faults)?,
    })
}

fn store(ways: &Ways, sets: &[&Operation]) -> Result<(), BenchError> {
    let direct = ways.target(Way::Direct).expect("it is always there");
    for set in sets {
        one_by_one(direct, set, Duration::ZERO)?;
    }
    Ok(())
}

/// The ways of one turn: forth, then back, so that none is always measured after the same one.
fn in_turn(turn: usize) -> Vec<Way> {
    let mut ways = Way::ALL.to_vec();
    if turn % 2 == 1 {
        ways.reverse();
    }
    ways.rotate_left(turn / 2 % Way::ALL.len());
    ways
}

fn latency(
    ways: &Ways,
    sizes: &Sizes,
    clients: usize,
    schedule: impl Fn(usize) -> Schedule,
) -> Result<BTreeMap<Way, Latency>, BenchError> {
    let mut all: BTreeMap<Way, Latencies> = BTreeMap::new();
    for turn in 0..sizes.turns {
        let schedule = schedule(turn);
        for way in in_turn(turn) {
            let Some(target) = ways.target(way) else {
                continue;
            };
            let seen = paced(target, clients, &schedule)?;
            let sum = all.entry(way).or_insert_with(Latencies::new);
            sum.left_out += seen.left_out;
            let added = sum.histogram_ns.add(&seen.histogram_ns);
            added.expect("they have the same bounds");
        }
    }
    let pair = |(way, latencies): (&Way, &Latencies)| (*way, Latency::of(latencies));
    Ok(all.iter().map(pair).collect())
}

fn throughput(
    ways: &Ways,
    sizes: &Sizes,
    mut run: impl FnMut(super::load::Target<'_>) -> Result<(u64, Duration), BenchError>,
) -> Result<BTreeMap<Way, Throughput>, BenchError> {
    let mut all: BTreeMap<Way, (u64, Duration, Option<Duration>)> = BTreeMap::new();
    for turn in 0..sizes.turns {
        for way in in_turn(turn) {
            let Some(target) = ways.target(way) else {
                continue;
            };
            let before = ways.cpu_time(way);
            let (count, took) = run(target)?;
            let spent = ways.cpu_time(way).zip(before);
            let spent = spent.map(|(after, before)| after.saturating_sub(before));
            let sum = all
                .entry(way)
                .or_insert((0, Duration::ZERO, Some(Duration::ZERO)));
            sum.0 += count;
            sum.1 += took;
            sum.2 = sum.2.zip(spent).map(|(sum, spent)| sum + spent);
        }
    }
    let pair = |(way, (count, took, spent)): (Way, (u64, Duration, Option<Duration>))| {
        let count = count as f64;
        let throughput = Throughput {
            per_second: rounded(count / took.as_secs_f64()),
            cpu_us: spent.map(|spent| rounded(spent.as_secs_f64() * 1e6 / count)),
        };
        (way, throughput)
    };
    Ok(all.into_iter().map(pair).collect())
}
