//! A direct client that keeps asking both stores whether they answer at all.
//!
//! A service that says "store unavailable" with both stores up is at fault, unless it is right: on a
//! machine with more to do than it can, a store itself may not answer for half a second. Our own threads
//! need not notice. This witness does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::Stop;
use touchstone_engine::store::StoreKind;

const PERIOD: Duration = Duration::from_millis(20);
/// Half of the shortest timeout that a service has for its stores, and much more than a store needs.
const SLOW: Duration = Duration::from_millis(200);

/// Asks until it is dropped.
#[derive(Debug)]
pub(crate) struct Witness {
    asked: Arc<Mutex<Asked>>,
    task: JoinHandle<()>,
}

/// The question under way, and the answers that were slow: when they came, and how long they took.
#[derive(Debug, Default)]
struct Asked {
    since: Option<Instant>,
    slow: Vec<(Instant, Duration)>,
}

impl Witness {
    /// Connects to both stores, past the proxies.
    pub(crate) async fn start(environment: &Environment) -> Result<Self, Stop> {
        let mut redis = environment.store(StoreKind::Redis).redis(0).await?;
        let postgres = environment.store(StoreKind::Postgres).postgres().await?;
        let asked = Arc::new(Mutex::new(Asked::default()));
        let notes = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                let since = Instant::now();
                lock(&notes).since = Some(since);
                // An error is an answer, too: the criterion that it breaks tells it better.
                let ping = redis::cmd("PING");
                let _ = tokio::join!(
                    ping.exec_async(&mut redis),
                    postgres.simple_query("SELECT 1")
                );
                lock(&notes).answered(since);
                tokio::time::sleep(PERIOD).await;
            }
        });
        Ok(Self { asked, task })
    }

    /// Why a failure since then may not be the subject's; gives it back if it is.
    pub(crate) fn excuse(&self, stop: Stop, since: Instant) -> Result<String, Stop> {
        let Stop::Fail(finding) = &stop else {
            return Err(stop);
        };
        match lock(&self.asked).slowest_since(since) {
            Some(slowest) => Ok(format!(
                "the stores took {} ms to answer a direct client; otherwise a failure: expected {}; seen {}",
                slowest.as_millis(),
                finding.expected,
                finding.seen
            )),
            None => Err(stop),
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asked {
    fn answered(&mut self, since: Instant) {
        self.since = None;
        if since.elapsed() >= SLOW {
            self.slow.push((Instant::now(), since.elapsed()));
        }
    }

    /// The slowest answer that came after `begin` or is still awaited, if it was slow.
    fn slowest_since(&self, begin: Instant) -> Option<Duration> {
        let awaited = self.since.map(|since| since.elapsed());
        let came = self.slow.iter().filter(|(at, _)| *at >= begin);
        let all = came.map(|(_, took)| *took).chain(awaited);
        all.max().filter(|slowest| *slowest >= SLOW)
    }
}

/// Nothing under this lock can be left half done by a panic.
fn lock(asked: &Mutex<Asked>) -> std::sync::MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_answers_count_from_when_they_came_and_fast_ones_never() {
        let now = Instant::now();
        let mut asked = Asked::default();
        asked.answered(now);
        assert_eq!(asked.slowest_since(now), None);
        asked.slow.push((now, SLOW * 2));
        assert_eq!(asked.slowest_since(now), Some(SLOW * 2));
        assert_eq!(asked.slowest_since(now + PERIOD), None);
    }

    #[test]
    fn an_answer_that_is_still_awaited_counts_with_its_age() {
        let asked = Asked {
            since: Instant::now().checked_sub(SLOW * 3),
            slow: Vec::new(),
        };
        assert!(asked.slowest_since(Instant::now()) >= Some(SLOW * 3));
    }
}
