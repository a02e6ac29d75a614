//! The search for a counter-example: proptest's own runner generates, shrinks and remembers; the case
//! itself is asynchronous and stays with the scenario.
//!
//! The runner is synchronous and its value trees may not change threads, so it sits on a thread of its
//! own, asks for one value after the other to be tried, and waits. The scenario tries them where it is
//! watched and can be cancelled. Whoever stops listening ends the runner: what it asks is answered with
//! a failure from then on, so that it runs out of things to shrink at once.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use std::future::Future;
use tokio::sync::{mpsc, oneshot};
use touchstone_core::{Finding, Seed};
use touchstone_engine::scenario::Stop;

/// A case takes tens of milliseconds; this is enough to get a sequence of dozens of calls down to those
/// that matter.
const SHRINK_TRIES_MAX: u32 = 2_000;
const SHRINK_MAX_MS: u32 = 20_000;

/// A search that follows from a seed alone and writes nothing. Its length is `PROPTEST_CASES`, or what
/// is usual here, which is few.
pub fn config(seed: Seed, usual_cases: u32) -> Config {
    Config {
        rng_seed: RngSeed::Fixed(seed.0),
        failure_persistence: None,
        ..config_of_tests(usual_cases)
    }
}

/// A search that follows from `PROPTEST_RNG_SEED`, or from nothing.
pub fn config_of_tests(usual_cases: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok();
    Config {
        cases: asked
            .and_then(|text| text.parse().ok())
            .unwrap_or(usual_cases),
        max_shrink_iters: SHRINK_TRIES_MAX,
        max_shrink_time: SHRINK_MAX_MS,
        ..Config::default()
    }
}

/// Tries values until one fails, and shrinks that one. The finding is the one of the smallest failing
/// value, with what its case gave as evidence.
pub async fn search<S, F, Fut>(
    config: Config,
    strategy: impl FnOnce() -> S + Send + 'static,
    mut run: F,
) -> Result<(), Stop>
where
    S: Strategy<Value: Send + 'static>,
    F: FnMut(S::Value) -> Fut,
    Fut: Future<Output = Result<(), Stop>>,
{
    let seed = config.rng_seed;
    let (ask, mut asked) = mpsc::channel::<Asked<S::Value>>(1);
    let runner = std::thread::Builder::new().name("search".to_owned());
    let runner = runner.spawn(move || generate(config, &strategy(), &ask))?;
    let (mut tried, mut smallest) = (0, None);
    while let Some(Asked { value, told }) = asked.recv().await {
        let ended = match run(value).await {
            Ok(()) => Ok(()),
            Err(Stop::Fail(finding)) => {
                // The runner keeps the last value that failed, which is the smallest.
                let (case, _) = smallest.take().unwrap_or((tried + 1, finding.clone()));
                smallest = Some((case, finding));
                Err(TestCaseError::fail("see the finding"))
            }
            Err(other) => return Err(other),
        };
        tried += 1;
        // A runner that is gone has ended the loop.
        let _ = told.send(ended);
    }
    let ended = runner
        .join()
        .map_err(|_| Stop::unknown("the search panicked"))?;
    match (smallest, ended) {
        (Some((case, finding)), _) => Err(Stop::Fail(with_origin(finding, case, tried, seed))),
        (None, Err(reason)) => Err(Stop::unknown(format!("the search was given up: {reason}"))),
        (None, Ok(())) => Ok(()),
    }
}

/// A value to be tried, and where to tell what came of it.
struct Asked<T> {
    value: T,
    told: oneshot::Sender<Result<(), TestCaseError>>,
}

fn generate<S: Strategy<Value: Send>>(
    config: Config,
    strategy: &S,
    ask: &mpsc::Sender<Asked<S::Value>>,
) -> Result<(), String> {
    let tried = TestRunner::new(config).run(strategy, |value| {
        let (told, answer) = oneshot::channel();
        let nobody_listens = || TestCaseError::fail("nobody listens any more");
        ask.blocking_send(Asked { value, told })
            .map_err(|_| nobody_listens())?;
        answer
            .blocking_recv()
            .unwrap_or_else(|_| Err(nobody_listens()))
    });
    match tried {
        Ok(()) | Err(TestError::Fail(..)) => Ok(()),
        Err(TestError::Abort(reason)) => Err(reason.to_string()),
    }
}

fn with_origin(finding: Finding, case: u32, tried: u32, seed: RngSeed) -> Finding {
    finding.with_evidence(format!(
        "case {case} of seed {seed}, the smallest of {} further tries",
        tried - case
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;

    async fn no_two_large(numbers: Vec<u32>) -> Result<(), Stop> {
        let large = numbers.iter().filter(|number| **number >= 10).count();
        if large < 2 {
            return Ok(());
        }
        Err(Stop::fail(
            "less than two large numbers",
            format!("{numbers:?}"),
        ))
    }

    #[tokio::test]
    async fn a_failure_is_shrunk_to_the_smallest_value_that_fails() {
        let found = search(
            config(Seed(1), 50),
            || vec(0_u32..1000, 0..30),
            no_two_large,
        )
        .await;
        match found {
            Err(Stop::Fail(finding)) => assert_eq!(finding.seen, "[10, 10]"),
            other => panic!("no failure: {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_same_seed_tries_the_same_values() {
        async fn tried(seed: u64) -> Vec<Vec<u32>> {
            let mut all = Vec::new();
            let run = |value: Vec<u32>| {
                all.push(value);
                async { Ok(()) }
            };
            let searched = search(config(Seed(seed), 5), || vec(0_u32..1000, 0..30), run).await;
            searched.expect("no case fails");
            all
        }
        assert_eq!(tried(7).await, tried(7).await);
        assert_ne!(tried(7).await, tried(8).await);
    }

    #[tokio::test]
    async fn a_case_that_cannot_be_told_ends_the_search() {
        let mut tried = 0;
        let run = |_| {
            tried += 1;
            async { Err(Stop::unknown("no environment")) }
        };
        let found = search(config(Seed(1), 50), || 0_u32..1000, run).await;
        assert!(matches!(found, Err(Stop::Unknown { .. })), "{found:?}");
        assert_eq!(tried, 1);
    }
}
