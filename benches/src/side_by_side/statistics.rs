//! From rounds to a word: met, not met, or cannot tell.

use crate::baseline::rounded;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The least number of rounds from which anything is concluded.
pub(super) const ROUNDS_NEEDED: usize = 5;

/// The median of one figure of every round, and where it can be expected to lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median of the rounds.
    pub median: f64,
    /// The lower end of an interval that holds the true median with a probability of 93% or more.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Round by round.
    pub rounds: Vec<f64>,
}

impl Spread {
    /// `None` without rounds. Distribution-free: the interval lies between two of the sorted rounds, of five the
    /// lowest and the highest.
    pub(crate) fn of(rounds: Vec<f64>) -> Option<Self> {
        let mut sorted = rounds.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let outside = outside(sorted.len());
        let middle = (sorted[last / 2] + sorted[sorted.len() / 2]) / 2.0;
        Some(Self {
            median: rounded(middle),
            low: rounded(sorted[outside]),
            high: rounded(sorted[last - outside]),
            rounds: rounds.into_iter().map(rounded).collect(),
        })
    }
}

/// How many rounds may be left outside the interval at each end: the largest for which the binomial distribution
/// gives it 93%.
fn outside(rounds: usize) -> usize {
    let mut outside = 0;
    // The probability that the median lies below the lowest round, then below the second, ..
    let mut term = 0.5_f64.powi(i32::try_from(rounds).unwrap_or(i32::MAX));
    let mut below = term;
    loop {
        term *= (rounds - outside) as f64 / (outside + 1) as f64;
        below += term;
        if 1.0 - 2.0 * below < 0.93 || 2 * (outside + 1) >= rounds {
            return outside;
        }
        outside += 1;
    }
}

/// What a figure is held to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::AtMost(limit) => write!(f, "<= {limit}"),
            Goal::AtLeast(limit) => write!(f, ">= {limit}"),
        }
    }
}

/// Whether a goal is reached, as far as the rounds tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All of the interval is on the right side.
    Met,
    /// All of it is on the wrong side.
    NotMet,
    /// Why there is no answer.
    CannotTell(String),
}

impl Verdict {
    pub(crate) fn of(goal: Goal, spread: Option<&Spread>) -> Self {
        let Some(spread) = spread else {
            return Verdict::CannotTell("nothing to compare with".to_owned());
        };
        if spread.rounds.len() < ROUNDS_NEEDED {
            return Verdict::CannotTell(format!("{} rounds", spread.rounds.len()));
        }
        let (good, bad) = match goal {
            Goal::AtMost(limit) => (spread.high <= limit, spread.low > limit),
            Goal::AtLeast(limit) => (spread.low >= limit, spread.high < limit),
        };
        match (good, bad) {
            (true, _) => Verdict::Met,
            (_, true) => Verdict::NotMet,
            _ => Verdict::CannotTell("spread".to_owned()),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Met => f.write_str("met"),
            Verdict::NotMet => f.write_str("not met"),
            Verdict::CannotTell(why) => write!(f, "cannot tell ({why})"),
        }
    }
}

/// The value below which that part of the samples lies; 0 of none.
pub(super) fn quantile(samples: impl IntoIterator<Item = f64>, part: f64) -> f64 {
    let mut sorted: Vec<f64> = samples.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted
        .get(place.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(goal: Goal, rounds: &[f64]) -> Verdict {
        Verdict::of(goal, Spread::of(rounds.to_vec()).as_ref())
    }

    #[test]
    fn the_interval_is_that_of_the_sign_test() {
        // Known values: 93.8% of 5, 96.9% of 6, 96.1% of 9, 93.5% (3rd to 9th) of 11, 95.9% of 20.
        let expected = [(1, 0), (5, 0), (6, 0), (9, 1), (11, 2), (20, 5)];
        for (rounds, left_out) in expected {
            assert_eq!(outside(rounds), left_out, "{rounds} rounds");
        }
    }

    #[test]
    fn a_spread_across_the_goal_decides_nothing() {
        let across = verdict(Goal::AtMost(0.8), &[0.7, 0.75, 0.78, 0.79, 0.81]);
        assert_eq!(across, Verdict::CannotTell("spread".to_owned()));
    }

    #[test]
    fn a_spread_on_one_side_decides() {
        let rounds = [0.7, 0.75, 0.78, 0.79, 0.8];
        assert_eq!(verdict(Goal::AtMost(0.8), &rounds), Verdict::Met);
        assert_eq!(verdict(Goal::AtMost(0.6), &rounds), Verdict::NotMet);
        assert_eq!(verdict(Goal::AtLeast(0.7), &rounds), Verdict::Met);
        assert_eq!(verdict(Goal::AtLeast(0.9), &rounds), Verdict::NotMet);
    }

    #[test]
    fn a_smoke_run_decides_nothing() {
        let few = verdict(Goal::AtMost(0.8), &[0.1]);
        assert_eq!(few, Verdict::CannotTell("1 rounds".to_owned()));
        assert_ne!(Verdict::of(Goal::AtMost(1.0), None), Verdict::Met);
    }

    #[test]
    fn a_quantile_is_one_of_the_samples() {
        let samples = || (1..=100).map(f64::from);
        assert_eq!(quantile(samples(), 0.5), 50.0);
        assert_eq!(quantile(samples(), 0.99), 99.0);
        assert_eq!(quantile([7.0], 0.99), 7.0);
        assert_eq!(quantile([], 0.99), 0.0);
    }
}
