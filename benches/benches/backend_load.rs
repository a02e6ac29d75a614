//! The reference backend beside a bare handler: `make bench-backend`; see `docs/BENCHMARKS.md`.
//!
//! Not criterion's, as `proxy`. Once with the tests in its smoke size.

use std::process::ExitCode;
use touchstone_benches::beside_floor::{self, Request, Sizes, WORKER_ARGUMENT};
use touchstone_benches::{Asked, Mode, comparison, end};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == WORKER_ARGUMENT)
    {
        return end(beside_floor::serve_as_floor(&arguments[1..]));
    }
    comparison("backend-load", arguments, |mode, asked| {
        beside_floor::run(&request(mode, asked))
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
