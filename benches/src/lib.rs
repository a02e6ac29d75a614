//! What the latency benchmarks share: stores, proxy and subject of their own, started on first use and
//! removed at the end, and the note of what a measurement was made on.
//!
//! The numbers gate nothing. They are what an engineer compares before and after a change, on one
//! machine; `docs/BENCHMARKS.md` says how.

mod backend;
mod backend_build;
pub mod baseline;
pub mod beside_floor;
mod comparison;
mod error;
mod provider;
mod record;
mod redis_rig;
mod session;
pub mod side_by_side;

pub use backend::BackendRig;
pub use comparison::{Asked, comparison};
pub use error::BenchError;
pub use record::{BackendBuild, BenchRun, PairedRatio, commit, criterion_dir, workspace_root};
pub use redis_rig::{RedisRig, Route};
pub use session::Session;

use criterion::Criterion;
use std::cell::OnceCell;
use std::time::Duration;

/// Both together keep the whole of `cargo bench` near two minutes.
const WARM_UP: Duration = Duration::from_millis(500);
const MEASUREMENT: Duration = Duration::from_secs(3);
const SAMPLES: usize = 50;

/// What the benchmark was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every benchmark once, to see that it works: `cargo test`, or `--test`.
    Smoke,
    /// For the numbers: `cargo bench`.
    Measure,
}

impl Mode {
    /// Reads the arguments as criterion does: cargo adds `--bench` when it measures.
    pub fn of_process() -> Self {
        let has = |wanted: &str| std::env::args().any(|argument| argument == wanted);
        if has("--bench") && !has("--test") {
            Mode::Measure
        } else {
            Mode::Smoke
        }
    }
}

/// Criterion with our sizes; the command line goes before them.
pub fn criterion() -> Criterion {
    Criterion::default()
        .output_directory(&criterion_dir())
        .warm_up_time(WARM_UP)
        .measurement_time(MEASUREMENT)
        .sample_size(SAMPLES)
        .configure_from_args()
}

/// What a benchmark has around it, once one that was asked for needs it: listing starts nothing.
#[derive(Debug)]
pub struct Lazy<R> {
    start: fn() -> Result<R, BenchError>,
    rig: OnceCell<R>,
}

impl<R> Lazy<R> {
    /// Starts nothing yet.
    pub fn new(start: fn() -> Result<R, BenchError>) -> Self {
        let rig = OnceCell::new();
        Self { start, rig }
    }

    /// Starts it, the first time. A rig that cannot be had ends the process: criterion has no word for it.
    pub fn get(&self) -> &R {
        self.rig
            .get_or_init(|| (self.start)().unwrap_or_else(|error| give_up(&error)))
    }

    /// The rig, if one was needed.
    pub fn into_inner(self) -> Option<R> {
        self.rig.into_inner()
    }
}

/// The result, or the end of the benchmark with what was wrong: a time without an answer means nothing.
#[expect(
    clippy::panic,
    reason = "criterion's routines cannot fail; unwinding tears the rig down"
)]
pub fn demand<T>(result: Result<T, BenchError>) -> T {
    result.unwrap_or_else(|error| panic!("{}", touchstone_engine::error_chain(&error)))
}

/// Nothing is left behind by then: what failed to start has removed itself.
fn give_up(error: &BenchError) -> ! {
    tell(&touchstone_engine::error_chain(error));
    std::process::exit(error.exit_code().number().into())
}

/// What a benchmark without criterion ends with, said and as a number.
pub fn end(result: Result<(), BenchError>) -> std::process::ExitCode {
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tell(&touchstone_engine::error_chain(&error));
            error.exit_code().number().into()
        }
    }
}

/// A line beside criterion's own, which go to standard output.
#[expect(clippy::print_stderr, reason = "a benchmark is a program of its own")]
pub(crate) fn tell(line: &str) {
    eprintln!("touchstone: {line}");
}
