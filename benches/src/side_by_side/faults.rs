//! How soon a fault is in force, and how exact an injected latency is.

use super::client::{Client, Operation};
use crate::BenchError;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use touchstone_engine::proxy::{Delay, Direction, Latency, Proxy};

/// What is injected.
pub(super) const DELAY: Duration = Duration::from_millis(10);

/// Between two batches of the busy thread's other traffic: up to 16,000 commands a second.
const TRAFFIC_PAUSE: Duration = Duration::from_millis(1);
const TRAFFIC_BATCH: usize = 16;

/// Both states of the thread.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct FaultSamples {
    /// The thread serves nothing else.
    pub idle: Samples,
    /// The thread passes and decodes traffic of another proxy meanwhile.
    pub busy: Samples,
}

/// Microseconds, sample by sample.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Samples {
    /// From the call to its return, with which the fault is in force.
    pub in_force_us: Vec<f64>,
    /// A round trip that was begun after the call had returned, with the fault in force.
    pub delayed_us: Vec<f64>,
    /// A round trip with no fault in force.
    pub plain_us: Vec<f64>,
}

/// Puts a latency in force and lets it heal, again and again; the second proxy has the other traffic.
pub(super) fn measure(
    runtime: &Runtime,
    [proxy, other]: [&Proxy; 2],
    password: &str,
    count: usize,
) -> Result<FaultSamples, BenchError> {
    let idle = sample(runtime, proxy, password, count)?;
    let (address, is_over) = (other.address(), AtomicBool::new(false));
    let busy = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_traffic(address, password, &is_over));
        let samples = sample(runtime, proxy, password, count);
        is_over.store(true, Ordering::Relaxed);
        let sent = sender.join().expect("it does not panic");
        sent.and(samples)
    })?;
    Ok(FaultSamples { idle, busy })
}

fn sample(
    runtime: &Runtime,
    proxy: &Proxy,
    password: &str,
    count: usize,
) -> Result<Samples, BenchError> {
    let mut client = Client::connect(proxy.address(), password, &Operation::ping())?;
    client.unblock()?;
    round_trip(&mut client)?;
    let mut samples = Samples::default();
    for _ in 0..count {
        samples.plain_us.push(micros(round_trip(&mut client)?));
        let latency = Latency {
            delay: Delay::fixed(DELAY),
            direction: Direction::Up,
        };
        let called = Instant::now();
        let mut fault = runtime.block_on(proxy.inject(latency))?;
        samples.in_force_us.push(micros(called.elapsed()));
        samples.delayed_us.push(micros(round_trip(&mut client)?));
        runtime.block_on(fault.heal())?;
    }
    Ok(samples)
}

/// Does not sleep meanwhile: a core that does takes its time to wake up.
fn round_trip(client: &mut Client) -> Result<Duration, BenchError> {
    let mut scratch = [0; 64];
    let sent = Instant::now();
    client.send(&Operation::ping().request)?;
    while client.receive(&mut scratch)? == 0 {
        std::thread::yield_now();
    }
    Ok(sent.elapsed())
}

fn send_traffic(
    address: SocketAddr,
    password: &str,
    is_over: &AtomicBool,
) -> Result<(), BenchError> {
    let mut client = Client::connect(address, password, &Operation::ping())?;
    let batch = Operation::ping().request.repeat(TRAFFIC_BATCH);
    let mut scratch = [0; 4096];
    while !is_over.load(Ordering::Relaxed) {
        client.send(&batch)?;
        let mut left = TRAFFIC_BATCH;
        while left > 0 {
            left -= client.receive(&mut scratch)?;
        }
        std::thread::sleep(TRAFFIC_PAUSE);
    }
    Ok(())
}

fn micros(duration: Duration) -> f64 {
    crate::baseline::rounded(duration.as_secs_f64() * 1e6)
}
