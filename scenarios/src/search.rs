//! The search for a counter-example: values from a proptest strategy, tried one after the other, and
//! the first that fails shrunk to the smallest that still does.
//!
//! Not `TestRunner::run`: a case here is asynchronous, and a scenario must stay cancellable at every
//! await, on the thread that it is watched on. A blocking thread of its own would go on shrinking after
//! its environment is gone. The value trees are proptest's, so the shrinking is, too.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::Rng;
use std::future::Future;
use std::time::{Duration, Instant};
use touchstone_core::{Finding, Seed};
use touchstone_engine::scenario::Stop;

/// Enough for sequences of a few dozen calls; what is left then is small enough to be read.
const SHRINK_MAX: Duration = Duration::from_secs(20);

/// How many cases to try: `PROPTEST_CASES`, or what is usual here, which is few.
pub fn cases(usual: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Tries `cases` values. The finding is that of the smallest value found that fails; its trace is the
/// evidence that the case itself gives.
pub(crate) async fn search<S, F, Fut>(
    strategy: &S,
    cases: u32,
    seed: Seed,
    mut run: F,
) -> Result<(), Stop>
where
    S: Strategy,
    F: FnMut(S::Value) -> Fut,
    Fut: Future<Output = Result<(), Stop>>,
{
    let mut runner = runner(seed);
    for case in 1..=cases {
        let tree = strategy.new_tree(&mut runner);
        let mut tree = tree.map_err(|reason| Stop::unknown(format!("no case: {reason}")))?;
        match run(tree.current()).await {
            Ok(()) => {}
            Err(Stop::Fail(finding)) => {
                let (finding, tried) = shrink(&mut tree, finding, &mut run).await;
                let told = format!("case {case} of seed {seed}, shrunk in {tried} further tries");
                return Err(Stop::Fail(finding.with_evidence(told)));
            }
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

fn runner(seed: Seed) -> TestRunner {
    let mut bytes = [0; 32];
    seed.rng().fill_bytes(&mut bytes);
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(config, rng)
}

/// Simpler while it fails, back towards the last failure while it does not.
async fn shrink<T, F, Fut>(tree: &mut T, first: Finding, run: &mut F) -> (Finding, u32)
where
    T: ValueTree,
    F: FnMut(T::Value) -> Fut,
    Fut: Future<Output = Result<(), Stop>>,
{
    let began = Instant::now();
    let (mut smallest, mut tried) = (first, 0);
    let mut more = tree.simplify();
    while more && began.elapsed() < SHRINK_MAX {
        tried += 1;
        more = match run(tree.current()).await {
            Err(Stop::Fail(finding)) => {
                smallest = finding;
                tree.simplify()
            }
            _ => tree.complicate(),
        };
    }
    (smallest, tried)
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
        Err(Stop::fail("less than two large numbers", format!("{numbers:?}")))
    }

    #[tokio::test]
    async fn a_failure_is_shrunk_to_the_smallest_value_that_fails() {
        let found = search(&vec(0_u32..1000, 0..30), 50, Seed(1), no_two_large).await;
        match found {
            Err(Stop::Fail(finding)) => assert_eq!(finding.seen, "[10, 10]"),
            other => panic!("no failure: {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_same_seed_tries_the_same_values() {
        async fn tried(seed: u64) -> Vec<Vec<u32>> {
            let mut all = Vec::new();
            let strategy = vec(0_u32..1000, 0..30);
            let run = |value: Vec<u32>| {
                all.push(value);
                async { Ok(()) }
            };
            search(&strategy, 5, Seed(seed), run).await.expect("no case fails");
            all
        }
        assert_eq!(tried(7).await, tried(7).await);
        assert_ne!(tried(7).await, tried(8).await);
    }
}
