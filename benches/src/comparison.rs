//! What comparisons have in common: what they are asked for on the command line, how they answer the test runner, and how
//! they go through their rounds.

use crate::{BenchError, Mode, end, tell};
use std::process::ExitCode;
use std::time::Instant;

/// The arguments of a comparison.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// How often all is measured, if not as usual.
    pub rounds: Option<usize>,
    /// The name in the file that keeps it; `None` keeps nothing.
    pub name: Option<String>,
    /// What a reader of the file has to know.
    pub remarks: Vec<String>,
}

/// Runs a comparison, once with the tests in its smoke size, for which it answers to what `cargo nextest` asks of
/// a test program.
pub fn comparison(
    name: &str,
    arguments: Vec<String>,
    run: impl FnOnce(Mode, Asked) -> Result<(), BenchError>,
) -> ExitCode {
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if has("--list") {
        list(name, has("--ignored"));
        return ExitCode::SUCCESS;
    }
    let mode = Mode::of_process();
    let asked = match mode {
        Mode::Smoke => Ok(Asked::default()),
        Mode::Measure => parse(name, arguments),
    };
    end(asked.and_then(|asked| run(mode, asked)))
}

#[expect(clippy::print_stdout, reason = "the test runner reads it")]
fn list(name: &str, only_ignored: bool) {
    if !only_ignored {
        println!("{name}: test");
    }
}

fn parse(name: &str, arguments: Vec<String>) -> Result<Asked, BenchError> {
    let mut asked = Asked {
        name: Some(name.to_owned()),
        ..Asked::default()
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
                asked.rounds = Some(number.ok_or(BenchError::Argument(rounds))?);
            }
            "--name" => asked.name = Some(value()?).filter(|name| !name.contains('/')),
            "--remark" => asked.remarks.push(value()?),
            "--no-record" => asked.name = None,
            _ => return Err(BenchError::Argument(argument)),
        }
    }
    Ok(asked)
}

/// Measures so many rounds, and tells of each how long it took and how busy the machine was before it.
pub(crate) fn all_rounds<Round>(
    count: usize,
    load_average: impl Fn(&Round) -> f64,
    mut measure: impl FnMut(usize) -> Result<Round, BenchError>,
) -> Result<Vec<Round>, BenchError> {
    let mut rounds = Vec::new();
    for number in 0..count {
        let began = Instant::now();
        let round = measure(number)?;
        tell(&format!(
            "round {} of {count}: {:.1} s, load average {}",
            number + 1,
            began.elapsed().as_secs_f64(),
            load_average(&round)
        ));
        rounds.push(round);
    }
    Ok(rounds)
}

#[expect(clippy::print_stdout, reason = "it is what was asked for")]
pub(crate) fn show(table: &str) {
    println!("{table}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Asked, BenchError> {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        parse("proxy", arguments.collect())
    }

    #[test]
    fn a_comparison_is_kept_under_its_name_unless_told_otherwise() {
        let plain = parsed(&["--bench"]).expect("nothing is asked for");
        assert_eq!(plain.name.as_deref(), Some("proxy"));
        let asked = parsed(&["--rounds", "5", "--remark", "quiet", "--name", "x"]);
        let asked = asked.expect("known arguments");
        assert_eq!((asked.rounds, asked.remarks.len()), (Some(5), 1));
        assert_eq!(asked.name.as_deref(), Some("x"));
        assert_eq!(parsed(&["--no-record"]).expect("known").name, None);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [&["--round"][..], &["--rounds", "0"], &["--rounds"]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
