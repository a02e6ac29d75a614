//! A direct client that keeps asking the stores whether they answer at all.
//!
//! A service that says "store unavailable" with both stores up is at fault, unless it is right: on a
//! machine with more to do than it can, a store itself may not answer for half a second, while our own
//! threads are on time. This witness knows.

use crate::clock::Clock;
use crate::fault::Ledger;
use crate::scenario::{Stop, lock};
use crate::store::{Store, StoreError, StoreKind};
use redis::aio::MultiplexedConnection;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use touchstone_core::fault::FaultRecord;

const PERIOD: Duration = Duration::from_millis(25);

/// Less than half of the shortest timeout that a service usually has for its stores, and much more than a store
/// needs.
const SLOW: Duration = Duration::from_millis(200);

/// A store that was stopped or frozen is slow for a while before and after; that is our doing.
const FAULT_MARGIN_US: u64 = 3_000_000;

/// An answer that took too long, on the scenario's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SlowAnswer {
    store: StoreKind,
    from_us: u64,
    until_us: u64,
}

/// What one store was asked, and what was slow of it.
#[derive(Debug)]
struct Asked {
    store: StoreKind,
    /// Since when an answer is awaited.
    awaited_since_us: Option<u64>,
    slow: Vec<SlowAnswer>,
}

/// What the stores were seen to do. Copies look at the same.
#[derive(Debug, Clone)]
pub struct Witness {
    asked: Arc<[Mutex<Asked>; 2]>,
    clock: Clock,
    ledger: Arc<Ledger>,
}

/// Asks until it is dropped.
#[derive(Debug)]
pub(crate) struct StoreWitness {
    witness: Witness,
    tasks: Vec<JoinHandle<()>>,
}

impl StoreWitness {
    /// Begins to ask these stores, past the proxies.
    pub(crate) fn start(stores: [Arc<Store>; 2], clock: Clock, ledger: Arc<Ledger>) -> Self {
        let asked = stores
            .each_ref()
            .map(|store| Mutex::new(Asked::nothing_of(store.kind())));
        let witness = Witness {
            asked: Arc::new(asked),
            clock,
            ledger,
        };
        let each = stores.into_iter().enumerate();
        let task = |(place, store)| tokio::spawn(ask(store, place, witness.clone()));
        let tasks = each.map(task).collect();
        Self { witness, tasks }
    }

    /// What it has seen.
    pub(crate) fn witness(&self) -> &Witness {
        &self.witness
    }
}

impl Drop for StoreWitness {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Witness {
    /// Why a failure since then may not be the subject's; gives it back if it is.
    pub fn excuse(&self, stop: Stop, since: Instant) -> Result<String, Stop> {
        let Stop::Fail(finding) = &stop else {
            return Err(stop);
        };
        match self.slow_store(self.clock.at_us(since)) {
            Some(slow) => Ok(format!(
                "{slow}; otherwise a failure: expected {}; seen {}",
                finding.expected, finding.seen
            )),
            None => Err(stop),
        }
    }

    /// The slowest answer since then of a store that no fault was acting on, in words.
    pub(crate) fn slow_store(&self, from_us: u64) -> Option<String> {
        let (faults, now_us) = (self.ledger.records(), self.clock.now_us());
        let answers = self
            .asked
            .iter()
            .flat_map(|asked| lock(asked).slow_since(from_us, now_us));
        let unexplained =
            answers.filter(|answer| !faults.iter().any(|fault| explains(fault, answer)));
        let slowest = unexplained.max_by_key(|answer| answer.until_us - answer.from_us)?;
        let took_ms = (slowest.until_us - slowest.from_us) / 1000;
        let at_ms = slowest.from_us / 1000;
        Some(format!(
            "{} itself took {took_ms} ms to answer a direct client, at {at_ms} ms",
            slowest.store
        ))
    }
}

impl Asked {
    fn nothing_of(store: StoreKind) -> Self {
        Self {
            store,
            awaited_since_us: None,
            slow: Vec::new(),
        }
    }

    fn answered(&mut self, from_us: u64, until_us: u64) {
        self.awaited_since_us = None;
        let answer = SlowAnswer {
            store: self.store,
            from_us,
            until_us,
        };
        self.slow.extend(is_slow(&answer).then_some(answer));
    }

    /// The slow answers that came after that, and the one that is still awaited.
    fn slow_since(&self, from_us: u64, now_us: u64) -> Vec<SlowAnswer> {
        let awaited = self.awaited_since_us.map(|from_us| SlowAnswer {
            store: self.store,
            from_us,
            until_us: now_us,
        });
        let came = self.slow.iter().filter(|answer| answer.until_us >= from_us);
        came.copied().chain(awaited.filter(is_slow)).collect()
    }
}

fn is_slow(answer: &SlowAnswer) -> bool {
    u128::from(answer.until_us.saturating_sub(answer.from_us)) >= SLOW.as_micros()
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

async fn ask(store: Arc<Store>, place: usize, witness: Witness) {
    let mut connection = None;
    loop {
        let from_us = witness.clock.now_us();
        lock(&witness.asked[place]).awaited_since_us = Some(from_us);
        // An error is an answer, too: a store that is gone says so at once.
        connection = match connection.take() {
            None => connect(&store).await.ok(),
            Some(mut open) => Connection::answers(&mut open).await.then_some(open),
        };
        lock(&witness.asked[place]).answered(from_us, witness.clock.now_us());
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

    #[test]
    fn slow_answers_count_from_when_they_came_and_fast_ones_never() {
        let slow_us = u64::try_from(SLOW.as_micros()).expect("it fits");
        let mut asked = Asked::nothing_of(StoreKind::Redis);
        asked.answered(1_000_000, 1_000_000 + slow_us - 1);
        assert_eq!(asked.slow_since(0, 9_000_000), []);
        asked.answered(2_000_000, 2_000_000 + slow_us);
        assert_eq!(asked.slow_since(2_000_000, 9_000_000).len(), 1);
        assert_eq!(asked.slow_since(2_000_001 + slow_us, 9_000_000), []);
    }

    #[test]
    fn an_answer_that_is_still_awaited_counts_with_its_age() {
        let asked = Asked {
            awaited_since_us: Some(1_000_000),
            ..Asked::nothing_of(StoreKind::Postgres)
        };
        assert_eq!(asked.slow_since(5_000_000, 1_100_000), []);
        assert_eq!(asked.slow_since(5_000_000, 6_000_000).len(), 1);
    }
}
