//! Our proxy beside a direct connection and HAProxy, in front of one Redis: what each adds, what each lets through.
//!
//! A comparison is worth only what was measured in the same minute on the same cores. So all ways take turns, within
//! every round; a ratio is taken of the figures of one round; and the verdict comes from how the ratios of the rounds
//! spread. Nothing fails on it.

mod client;
mod faults;
mod load;
pub(crate) mod pinning;
mod record;
mod round;
mod rows;
mod statistics;
mod ways;
mod worker;

pub use faults::{FaultSamples, Samples};
pub use pinning::Cores;
pub use record::SideBySide;
pub use round::{Latency, Round, Sizes, Throughput};
pub use rows::Row;
pub use statistics::{Goal, Spread, Verdict};
pub use ways::Way;
pub use worker::WORKER_ARGUMENT;

use crate::comparison::{all_rounds, show};
use crate::{BenchError, Session, tell};
use ways::Ways;

/// What the measurement is asked for.
#[derive(Debug)]
pub struct Request {
    /// How much.
    pub sizes: Sizes,
    /// The name in the file that keeps it; `None` keeps nothing.
    pub name: Option<String>,
    /// What a reader of the file has to know.
    pub remarks: Vec<String>,
}

/// Serves as the proxy under measurement until the standard input ends.
pub fn serve_as_proxy(arguments: &[String]) -> Result<(), BenchError> {
    worker::serve(arguments)
}

/// Measures, prints the table, keeps the rounds.
pub fn run(request: &Request) -> Result<(), BenchError> {
    let session = Session::open("proxy")?;
    let cores = Cores::choose()?;
    if cores.are_one() {
        tell(
            "there is one core only: load and proxies take each other's time, the table tells little",
        );
    }
    pinning::pin_this_thread(cores.load)?;
    let mut ways = session.runtime.block_on(Ways::open(&session, cores))?;
    let sizes = &request.sizes;
    let measured = all_rounds(
        sizes.rounds,
        |round: &Round| round.load_average,
        |number| round::measure(&mut ways, sizes, number),
    );
    session.runtime.block_on(ways.close())?;
    let rounds = measured?;
    let rows = rows::all(&rounds);
    show(&rows::table(&rows));
    let Some(name) = &request.name else {
        return Ok(());
    };
    let kept = SideBySide::new(&session, cores, request, rounds, rows).save(name)?;
    tell(&format!("wrote {}", kept.display()));
    Ok(())
}
