//! Our proxy beside a direct connection and HAProxy: `make bench-proxy`; see `docs/BENCHMARKS.md`.
//!
//! Not criterion's: what counts is the ratio of two ways within a round, not a time. Once with the tests in its smoke
//! size.

use std::process::ExitCode;
use touchstone_benches::side_by_side::{self, Request, Sizes, WORKER_ARGUMENT};
use touchstone_benches::{Asked, Mode, comparison, end};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == WORKER_ARGUMENT)
    {
        return end(side_by_side::serve_as_proxy(&arguments[1..]));
    }
    comparison("proxy", arguments, |mode, asked| {
        side_by_side::run(&request(mode, asked))
    })
}

fn request(mode: Mode, asked: Asked) -> Request {
    let sizes = match mode {
        Mode::Smoke => Sizes::SMOKE,
        Mode::Measure => Sizes::MEASURE,
    };
    Request {
        sizes: Sizes {
            rounds: asked.rounds.unwrap_or(sizes.rounds),
            ..sizes
        },
        name: asked.name,
        remarks: asked.remarks,
    }
}
