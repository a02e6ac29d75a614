//! Instances that were cut off at once do not come back in one burst.

use super::super::Check;
use super::Outage;
use crate::verdict::{Finding, Verdict};

/// From some attempt on, no span of time holds an attempt of half of the instances.
#[derive(Debug, Clone, Copy)]
pub struct NoHerd {
    /// The first attempt that counts; the ones before it cannot spread.
    pub from_attempt: usize,
    /// How long a span is.
    pub window_us: u64,
}

/// Half of fewer instances is no herd.
const INSTANCES_MIN: usize = 8;

impl Check for NoHerd {
    /// One outage for each instance, all of which began together.
    type Evidence = [Outage];

    fn check(&self, outages: &[Outage]) -> Verdict {
        if outages.len() < INSTANCES_MIN {
            return Verdict::unknown(format!("{} instances are no fleet", outages.len()));
        }
        let short = |outage: &&Outage| outage.attempts_us.len() < self.from_attempt;
        let short = outages.iter().filter(short).count();
        if short > 0 {
            return Verdict::unknown(format!(
                "{short} of {} instances were not seen to make attempt {}",
                outages.len(),
                self.from_attempt
            ));
        }
        match self.densest(outages) {
            Some((at_us, count)) if count * 2 >= outages.len() => {
                let expected = format!(
                    "from attempt {} on, no {} ms with attempts of half of the {} instances",
                    self.from_attempt,
                    self.window_us / 1000,
                    outages.len()
                );
                let seen = format!(
                    "{count} of them within {} ms, from {} ms on",
                    self.window_us / 1000,
                    at_us / 1000
                );
                Verdict::Fail(Finding::new(expected, seen))
            }
            _ => Verdict::Pass,
        }
    }
}

impl NoHerd {
    /// The beginning of the span with most instances, and how many that are.
    pub fn densest(&self, outages: &[Outage]) -> Option<(u64, usize)> {
        let mut attempts: Vec<(u64, usize)> = Vec::new();
        for (instance, outage) in outages.iter().enumerate() {
            let counted = outage
                .attempts_us
                .iter()
                .skip(self.from_attempt.saturating_sub(1));
            attempts.extend(counted.map(|at_us| (*at_us, instance)));
        }
        attempts.sort_unstable();
        let mut in_window = vec![0_usize; outages.len()];
        let (mut first, mut instances) = (0, 0);
        let mut densest: Option<(u64, usize)> = None;
        for (at_us, instance) in attempts.iter().copied() {
            instances += usize::from(in_window[instance] == 0);
            in_window[instance] += 1;
            while attempts[first].0 + self.window_us < at_us {
                let leaving = attempts[first].1;
                in_window[leaving] -= 1;
                instances -= usize::from(in_window[leaving] == 0);
                first += 1;
            }
            if densest.is_none_or(|(_, most)| instances > most) {
                densest = Some((attempts[first].0, instances));
            }
        }
        densest
    }
}
