//! Exit codes: a documented, stable interface for pipelines.

use crate::record::ScenarioRecord;
use crate::verdict::Verdict;

/// What the process ends with. Numbers never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitCode {
    /// Every criterion of the profile holds.
    Holds,
    /// A criterion failed.
    CriterionFailed,
    /// The command line, the manifest or another input is wrong.
    Usage,
    /// The environment could not be started; not the subject's fault.
    Environment,
    /// A verdict is unknown.
    Unknown,
    /// A benchmark regressed.
    Regressed,
    /// A benchmark cannot tell.
    CannotTell,
    /// A bug in the harness.
    HarnessBug,
    /// Interrupted by a signal.
    Interrupted,
}

/// Most severe first: when several apply, the first one in this list is the exit code.
pub const PRECEDENCE: [ExitCode; 9] = [
    ExitCode::HarnessBug,
    ExitCode::Interrupted,
    ExitCode::Usage,
    ExitCode::Environment,
    ExitCode::CriterionFailed,
    ExitCode::Regressed,
    ExitCode::Unknown,
    ExitCode::CannotTell,
    ExitCode::Holds,
];

impl ExitCode {
    /// The number that the shell sees.
    pub fn number(self) -> u8 {
        match self {
            ExitCode::Holds => 0,
            ExitCode::CriterionFailed => 1,
            ExitCode::Usage => 2,
            ExitCode::Environment => 3,
            ExitCode::Unknown => 4,
            ExitCode::Regressed => 5,
            ExitCode::CannotTell => 6,
            ExitCode::HarnessBug => 70,
            ExitCode::Interrupted => 130,
        }
    }

    /// What it means, in one line.
    pub fn meaning(self) -> &'static str {
        match self {
            ExitCode::Holds => "every criterion of the profile holds",
            ExitCode::CriterionFailed => "a criterion failed",
            ExitCode::Usage => "usage or configuration error",
            ExitCode::Environment => {
                "the environment could not be started (not the subject's fault)"
            }
            ExitCode::Unknown => "a verdict is unknown",
            ExitCode::Regressed => "a benchmark regressed",
            ExitCode::CannotTell => "a benchmark cannot tell",
            ExitCode::HarnessBug => "a bug in the harness",
            ExitCode::Interrupted => "interrupted",
        }
    }

    /// The one that wins among several; [`ExitCode::Holds`] for none.
    pub fn most_severe(codes: impl IntoIterator<Item = ExitCode>) -> ExitCode {
        let rank = |code: &ExitCode| PRECEDENCE.iter().position(|known| known == code);
        codes
            .into_iter()
            .min_by_key(rank)
            .unwrap_or(ExitCode::Holds)
    }

    /// What one scenario contributes to the run's exit code.
    pub fn of_scenario(scenario: &ScenarioRecord) -> ExitCode {
        if scenario.not_run {
            return ExitCode::Holds; // What ended the run has its own code.
        }
        match &scenario.verdict {
            Verdict::Pass | Verdict::Skipped { declared: true, .. } => ExitCode::Holds,
            // The profile demanded it and nobody declared it absent: the gate has a hole.
            Verdict::Fail(_)
            | Verdict::Skipped {
                declared: false, ..
            } => ExitCode::CriterionFailed,
            Verdict::Unknown { .. } if scenario.environment_failed => ExitCode::Environment,
            Verdict::Unknown { .. } => ExitCode::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_documented_and_stable() {
        let numbers: Vec<u8> = PRECEDENCE.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, [70, 130, 2, 3, 1, 5, 4, 6, 0]);
    }

    #[test]
    fn the_most_severe_of_several_wins() {
        use ExitCode::*;
        let table: [(&[ExitCode], ExitCode); 6] = [
            (&[], Holds),
            (&[Holds, Unknown], Unknown),
            (&[Unknown, CriterionFailed, Regressed], CriterionFailed),
            (&[CriterionFailed, Environment], Environment),
            (&[Environment, Interrupted, Usage], Interrupted),
            (&[Interrupted, HarnessBug], HarnessBug),
        ];
        for (codes, expected) in table {
            assert_eq!(
                ExitCode::most_severe(codes.iter().copied()),
                expected,
                "{codes:?}"
            );
        }
    }
}
