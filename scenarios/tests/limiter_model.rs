//! RATE-6: the limiter agrees with a model, through ends of windows, restarts and flushes.

mod support;

use proptest::test_runner::Config;
use support::{found, holds, on_backend, remembering, told};
use touchstone_core::Seed;
use touchstone_engine::scenario::{Context, Stop};
use touchstone_scenarios::property::{
    LimiterSubject, SlidingSubject, config, config_of_tests, search,
};

const REGRESSIONS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/proptest-regressions/limiter_model.txt"
);

async fn agrees(context: &Context, config: Config) -> Result<(), Stop> {
    let subject = LimiterSubject::open(context).await?;
    search(config, LimiterSubject::steps, |steps| subject.run(steps)).await
}

async fn sliding_agrees(context: &Context, config: Config) -> Result<(), Stop> {
    let subject = SlidingSubject::open(context).await?;
    search(config, SlidingSubject::steps, |steps| subject.run(steps)).await
}

#[test]
fn any_sequence_agrees_with_a_model_limiter_whose_window_slides() {
    // Not remembered: a sequence with pauses fails by them, and never twice at the same microsecond.
    holds(on_backend("limiter-sliding", None, async |context| {
        sliding_agrees(context, config_of_tests(10)).await
    }));
}

#[test]
fn a_sliding_log_that_ends_with_its_first_entry_is_found() {
    let ended = on_backend(
        "limiter-log-expires",
        Some("sliding-log-expires-early"),
        async |context| {
            let mut config = config(Seed(1), 50);
            // Each try takes as long as its pauses.
            config.max_shrink_iters = 60;
            sliding_agrees(context, config).await
        },
    );
    let finding = found(ended);
    let told = told(&finding);
    assert!(
        finding.expected.contains("remaining for") || finding.expected.contains("Refusal of"),
        "{told}"
    );
}

#[test]
fn any_sequence_agrees_with_a_model_limiter() {
    let config = remembering(REGRESSIONS, 10);
    holds(on_backend("limiter", None, async |context| {
        agrees(context, config).await
    }));
}

#[test]
fn a_window_that_every_request_begins_anew_is_found() {
    let ended = on_backend(
        "limiter-slides",
        Some("rate-window-slides"),
        async |context| agrees(context, config(Seed(1), 50)).await,
    );
    let finding = found(ended);
    assert!(
        finding.expected.contains("window's end to come closer"),
        "{}",
        told(&finding)
    );
}

#[test]
fn one_request_too_many_is_found() {
    let ended = on_backend(
        "limiter-off-by-one",
        Some("limit-off-by-one"),
        async |context| agrees(context, config(Seed(1), 50)).await,
    );
    let finding = found(ended);
    assert!(
        finding.expected.contains("refused (limit"),
        "{}",
        told(&finding)
    );
    // No more than fill one window, one more request, and the origin.
    assert_eq!(finding.evidence.len(), 6, "{}", told(&finding));
}
