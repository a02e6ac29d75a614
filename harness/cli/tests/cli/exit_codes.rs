//! The exit codes are an interface: documented, stable, seen.

use crate::support::{Place, fixture, repository, run};
use touchstone_core::exit_code::PRECEDENCE;

#[test]
fn the_document_has_every_code_with_its_meaning_in_the_order_of_precedence() {
    let path = repository().join("docs/EXIT_CODES.md");
    let text = std::fs::read_to_string(path).expect("docs/EXIT_CODES.md");
    for code in PRECEDENCE {
        let row = format!("| {} | {} |", code.number(), code.meaning());
        assert!(text.contains(&row), "no `{row}`");
    }
    let order: Vec<String> = PRECEDENCE.iter().map(|c| c.number().to_string()).collect();
    let order = order.join(", ");
    assert!(text.contains(&order), "no `{order}`");
}

#[test]
fn the_help_has_every_code() {
    let ended = run(Place::new().touchstone().arg("--help"));
    for code in PRECEDENCE {
        let number = format!(" {}  ", code.number());
        assert!(
            ended.stdout.contains(&number),
            "no `{number}` in {ended:#?}"
        );
    }
}

/// The rest is seen elsewhere: 4 in `mutants.rs` and in the engine's `run_rules.rs`, 130 in
/// `interruption.rs`, 5 and 6 with the benchmarks; 70 needs a bug.
#[test]
fn a_check_ends_with_what_it_found() {
    let place = Place::new();
    let holds = run(place.check_what_passes().arg("--fail-fast"));
    assert_eq!(holds.code, Some(0), "{holds:#?}");
    let mut defect = place.check();
    defect.args([
        "KV-2",
        "--env",
        "BACKEND_DEFECT=expire-always-one",
        "--subject",
    ]);
    let failed = run(defect.arg(place.path("manifest.toml")));
    assert_eq!(failed.code, Some(1), "{failed:#?}");
    for text in [
        "KV-2",
        "expected",
        "seen",
        "--env BACKEND_DEFECT=expire-always-one",
    ] {
        assert!(failed.stdout.contains(text), "no `{text}` in {failed:#?}");
    }
    let mut usage = place.check();
    usage
        .arg("NONE-1")
        .arg("--subject")
        .arg(fixture("crashes.toml"));
    assert_eq!(run(&mut usage).code, Some(2));
    let mut environment = place.check_fixture("crashes.toml");
    environment.env("TOUCHSTONE_REDIS_SERVER", "/no/such/server");
    assert_eq!(run(&mut environment).code, Some(3));
}
