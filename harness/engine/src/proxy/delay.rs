//! How long something is delayed: a fixed part, and jitter that is drawn from a seed.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Exp, Normal, Pareto};
use std::fmt;
use std::time::Duration;

/// How jitter is spread. Sources: Toxiproxy has [`Distribution::PlusMinus`] only; the others are those of
/// `tc netem` (uniform, normal, pareto) and the exponential of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Distribution {
    /// Anything from zero to the jitter, alike.
    #[default]
    Uniform,
    /// Anything from minus the jitter to the jitter, alike; never below a delay of zero.
    PlusMinus,
    /// Around zero, with the jitter as its standard deviation; never below a delay of zero.
    Normal,
    /// From zero, with the jitter as its mean.
    Exponential,
    /// From zero with a long tail (shape 3), with the jitter as its mean.
    Pareto,
}

impl Distribution {
    /// All of them.
    pub const ALL: [Distribution; 5] = [
        Distribution::Uniform,
        Distribution::PlusMinus,
        Distribution::Normal,
        Distribution::Exponential,
        Distribution::Pareto,
    ];

    /// Its name in records and rules.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Distribution::Uniform => "uniform",
            Distribution::PlusMinus => "plus-minus",
            Distribution::Normal => "normal",
            Distribution::Exponential => "exponential",
            Distribution::Pareto => "pareto",
        }
    }
}

/// A delay, drawn anew from a seed for each thing that is delayed: a command, a chunk of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// What every draw begins with.
    pub base: Duration,
    /// What is added to it, spread as `distribution` says.
    pub jitter: Duration,
    /// How.
    pub distribution: Distribution,
}

/// A delay is drawn longer than this only where a heavy tail asks for it, and is then cut here.
const DELAY_MAX: Duration = Duration::from_secs(60);

impl Delay {
    /// Always the same.
    #[must_use]
    pub fn fixed(base: Duration) -> Self {
        Self {
            base,
            jitter: Duration::ZERO,
            distribution: Distribution::Uniform,
        }
    }

    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> Duration {
        let (base_s, jitter_s) = (self.base.as_secs_f64(), self.jitter.as_secs_f64());
        if jitter_s == 0.0 {
            return self.base;
        }
        let positive = "the jitter is above zero";
        let added_s = match self.distribution {
            Distribution::Uniform => rng.random_range(0.0..=jitter_s),
            Distribution::PlusMinus => rng.random_range(-jitter_s..=jitter_s),
            Distribution::Normal => Normal::new(0.0, jitter_s).expect(positive).sample(rng),
            Distribution::Exponential => Exp::new(1.0 / jitter_s).expect(positive).sample(rng),
            // A Pareto of shape 3 from `scale` up has the mean 1.5 `scale`; less `scale` it begins at zero.
            Distribution::Pareto => {
                let scale = 2.0 * jitter_s;
                Pareto::new(scale, 3.0).expect(positive).sample(rng) - scale
            }
        };
        Duration::from_secs_f64((base_s + added_s).clamp(0.0, DELAY_MAX.as_secs_f64()))
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} us", self.base.as_micros())?;
        if self.jitter.is_zero() {
            return Ok(());
        }
        let spread = self.distribution.name();
        write!(f, " and {} us of {spread} jitter", self.jitter.as_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_core::Seed;

    fn draws(distribution: Distribution, seed: u64) -> Vec<Duration> {
        let delay = Delay {
            base: Duration::from_millis(10),
            jitter: Duration::from_millis(4),
            distribution,
        };
        let mut rng = Seed(seed).rng();
        (0..20_000).map(|_| delay.draw(&mut rng)).collect()
    }

    fn mean_ms(draws: &[Duration]) -> f64 {
        draws.iter().map(Duration::as_secs_f64).sum::<f64>() / draws.len() as f64 * 1000.0
    }

    #[test]
    fn each_distribution_has_the_mean_and_the_bounds_that_it_promises() {
        for (distribution, mean, least_ms) in [
            (Distribution::Uniform, 12.0, 10),
            (Distribution::PlusMinus, 10.0, 6),
            (Distribution::Normal, 10.0, 0),
            (Distribution::Exponential, 14.0, 10),
            (Distribution::Pareto, 14.0, 10),
        ] {
            let draws = draws(distribution, 1);
            let seen = mean_ms(&draws);
            assert!((seen - mean).abs() < 0.3, "{distribution:?}: {seen} ms");
            let least = Duration::from_millis(least_ms);
            assert!(draws.iter().all(|draw| *draw >= least), "{distribution:?}");
        }
    }

    #[test]
    fn draws_repeat_from_the_seed_and_only_from_it() {
        for distribution in [Distribution::Uniform, Distribution::Pareto] {
            assert_eq!(draws(distribution, 1), draws(distribution, 1));
            assert_ne!(draws(distribution, 1), draws(distribution, 2));
        }
    }
}
