//! Our proxy beside a direct connection and HAProxy: `make bench-proxy`; see `docs/BENCHMARKS.md`.
//!
//! Not criterion's: what counts is the ratio of two ways within a round, not a time. Once with the tests in its smoke
//! size, for which it answers to what `cargo nextest` asks of a test program.

use std::process::ExitCode;
use touchstone_benches::side_by_side::{self, Request, Sizes, WORKER_ARGUMENT};
use touchstone_benches::{BenchError, Mode, end};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == WORKER_ARGUMENT)
    {
        return end(side_by_side::serve_as_proxy(&arguments[1..]));
    }
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if has("--list") {
        list(has("--ignored"));
        return ExitCode::SUCCESS;
    }
    let request = match Mode::of_process() {
        Mode::Smoke => Ok(Request {
            sizes: Sizes::SMOKE,
            name: None,
            remarks: Vec::new(),
        }),
        Mode::Measure => request(arguments),
    };
    end(request.and_then(|request| side_by_side::run(&request)))
}

#[expect(clippy::print_stdout, reason = "the test runner reads it")]
fn list(only_ignored: bool) {
    if !only_ignored {
        println!("side_by_side: test");
    }
}

fn request(arguments: Vec<String>) -> Result<Request, BenchError> {
    let mut request = Request {
        sizes: Sizes::MEASURE,
        name: Some("proxy".to_owned()),
        remarks: Vec::new(),
    };
    let mut rest = arguments
        .into_iter()
        .filter(|argument| argument != "--bench");
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(BenchError::Argument(argument.clone()));
        match argument.as_str() {
            "--rounds" => {
                let rounds = value()?;
                let number = rounds.parse().ok().filter(|rounds| *rounds > 0);
                request.sizes.rounds = number.ok_or(BenchError::Argument(rounds))?;
            }
            "--name" => request.name = Some(value()?).filter(|name| !name.contains('/')),
            "--remark" => request.remarks.push(value()?),
            "--no-record" => request.name = None,
            _ => return Err(BenchError::Argument(argument)),
        }
    }
    Ok(request)
}
