//! A direct client that keeps asking the stores whether they answer at all.
//!
//! A service that says "store unavailable" with both stores up is at fault, unless it is right: on a
//! machine with more to do than it can, a store itself may not answer for half a second, while our own
//! threads are on time. This witness knows.

use crate::clock::Clock;
use crate::scenario::lock;
use crate::store::{Store, StoreError, StoreKind};
use redis::aio::MultiplexedConnection;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use touchstone_core::fault::FaultRecord;

const PERIOD: Duration = Duration::from_millis(50);

/// Half of the shortest timeout that a service usually has for its stores, and much more than a store
/// needs.
const SLOW: Duration = Duration::from_millis(250);

/// A store that was stopped or frozen is slow for a while before and after; that is our doing.
const FAULT_MARGIN_US: u64 = 3_000_000;

/// An answer that took too long, on the scenario's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlowAnswer {
    store: StoreKind,
    from_us: u64,
    until_us: u64,
}

/// Asks until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct StoreWitness {
    slow: Arc<Mutex<Vec<SlowAnswer>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl StoreWitness {
    /// Begins to ask these stores, past the proxies.
    pub(crate) fn start(stores: [Arc<Store>; 2], clock: Clock) -> Self {
        let slow = Arc::default();
        let task = |store| tokio::spawn(ask(store, clock, Arc::clone(&slow)));
        let tasks = stores.map(task).into();
        Self { slow, tasks }
    }

    /// The slowest answer since then of a store that no fault was acting on, in words.
    pub(crate) fn excuse(&self, faults: &[FaultRecord], from_us: u64) -> Option<String> {
        let slow = lock(&self.slow);
        let ours = |answer: &&SlowAnswer| faults.iter().any(|fault| explains(fault, answer));
        let since = slow.iter().filter(|answer| answer.until_us >= from_us);
        let unexplained = since.filter(|answer| !ours(answer));
        let slowest = unexplained.max_by_key(|answer| answer.until_us - answer.from_us)?;
        let took_ms = (slowest.until_us - slowest.from_us) / 1000;
        let at_ms = slowest.from_us / 1000;
        Some(format!(
            "{} itself took {took_ms} ms to answer a direct client, at {at_ms} ms",
            slowest.store
        ))
    }
}

impl Drop for StoreWitness {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Whether a fault on the server explains a slow answer. Faults in a proxy cannot: we ask past it.
fn explains(fault: &FaultRecord, answer: &SlowAnswer) -> bool {
    let from_us = fault.injected_at_us.saturating_sub(FAULT_MARGIN_US);
    let until_us = fault
        .healed_at_us
        .map_or(u64::MAX, |healed| healed + FAULT_MARGIN_US);
    fault.target == answer.store.to_string()
        && answer.until_us >= from_us
        && answer.from_us <= until_us
}

enum Connection {
    Redis(MultiplexedConnection),
    Postgres(tokio_postgres::Client),
}

async fn connect(store: &Store) -> Result<Connection, StoreError> {
    Ok(match store.kind() {
        StoreKind::Redis => Connection::Redis(store.redis(0).await?),
        StoreKind::Postgres => Connection::Postgres(store.postgres().await?),
    })
}

impl Connection {
    async fn answers(&mut self) -> bool {
        match self {
            // No PING: those that the server counts are the subject's.
            Connection::Redis(redis) => {
                let mut echo = redis::cmd("ECHO");
                echo.arg("witness").exec_async(redis).await.is_ok()
            }
            Connection::Postgres(postgres) => postgres.simple_query("SELECT 1").await.is_ok(),
        }
    }
}

async fn ask(store: Arc<Store>, clock: Clock, slow: Arc<Mutex<Vec<SlowAnswer>>>) {
    let mut connection = None;
    loop {
        let from_us = clock.now_us();
        // An error is an answer, too: a store that is gone says so at once.
        connection = match connection.take() {
            None => connect(&store).await.ok(),
            Some(mut open) => Connection::answers(&mut open).await.then_some(open),
        };
        let until_us = clock.now_us();
        if u128::from(until_us - from_us) >= SLOW.as_micros() {
            lock(&slow).push(SlowAnswer {
                store: store.kind(),
                from_us,
                until_us,
            });
        }
        tokio::time::sleep(PERIOD).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn fault(target: &str, injected_at_us: u64, healed_at_us: Option<u64>) -> FaultRecord {
        FaultRecord {
            name: "freeze".to_owned(),
            target: target.to_owned(),
            parameters: BTreeMap::new(),
            injected_at_us,
            healed_at_us,
            bite: None,
        }
    }

    #[test]
    fn only_a_fault_on_the_same_server_around_that_time_explains_a_slow_answer() {
        let answer = SlowAnswer {
            store: StoreKind::Redis,
            from_us: 20_000_000,
            until_us: 21_000_000,
        };
        assert!(explains(
            &fault("redis", 19_000_000, Some(20_500_000)),
            &answer
        ));
        assert!(explains(&fault("redis", 19_000_000, None), &answer));
        assert!(!explains(&fault("postgres", 19_000_000, None), &answer));
        assert!(!explains(
            &fault("redis", 1_000_000, Some(2_000_000)),
            &answer
        ));
        assert!(!explains(
            &fault("proxy redis of instance 0", 19_000_000, None),
            &answer
        ));
    }
}
