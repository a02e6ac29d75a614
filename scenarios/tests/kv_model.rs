//! KV-8: the key-value operations agree with a map with expiry.

mod support;

use proptest::test_runner::Config;
use support::{found, holds, on_backend, remembering, told};
use touchstone_core::Seed;
use touchstone_engine::scenario::{Context, Stop};
use touchstone_scenarios::property::{KvSubject, config, search};

const REGRESSIONS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/proptest-regressions/kv_model.txt"
);

async fn agrees(context: &Context, config: Config) -> Result<(), Stop> {
    let subject = KvSubject::open(context).await?;
    let carries_bytes = subject.carries_bytes();
    let steps = move || KvSubject::steps(carries_bytes);
    search(config, steps, |steps| subject.run(steps)).await
}

#[test]
fn any_sequence_of_calls_agrees_with_a_map_with_expiry() {
    let config = remembering(REGRESSIONS, 24);
    holds(on_backend("kv", None, async |context| {
        agrees(context, config).await
    }));
}

#[test]
fn a_set_that_keeps_the_old_expiry_is_found_and_shrunk_to_what_matters() {
    let ended = on_backend("kv-keeps-ttl", Some("set-keeps-ttl"), async |context| {
        agrees(context, config(Seed(1), 100)).await
    });
    let finding = found(ended);
    assert!(
        finding.expected.starts_with("Number(-1) from ttl"),
        "{}",
        told(&finding)
    );
    // A value with an end, a plain set over it, the last looks at both keys, the origin.
    assert!(finding.evidence.len() <= 8, "{}", told(&finding));
}

#[test]
fn an_expiry_of_nothing_that_claims_success_is_found() {
    let ended = on_backend(
        "kv-always-one",
        Some("expire-always-one"),
        async |context| agrees(context, config(Seed(2), 100)).await,
    );
    let finding = found(ended);
    assert!(
        finding.expected.starts_with("Number(0) from expire"),
        "{}",
        told(&finding)
    );
}
