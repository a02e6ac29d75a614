//! Attempts to reconnect: each after a delay that its schedule allows, and a fleet's not all at once.
//!
//! An attempt's time is when it was accepted, so what is judged are the delays between attempts, less
//! what our own measuring may have taken from them or added ([`Slack`]).

mod exhaustion;
mod herd;
mod schedule;

pub use exhaustion::{AfterExhaustion, LongOutage};
pub use herd::NoHerd;
pub use schedule::{Jitter, Schedule};

use super::Check;
use crate::verdict::{Finding, Verdict};

/// One outage of one instance. Microseconds since the scenario began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// When its connection was lost.
    pub began_us: u64,
    /// Its attempts, all in vain, in order.
    pub attempts_us: Vec<u64>,
    /// Until when attempts were looked for.
    pub observed_until_us: u64,
}

/// How far a measured delay may be from the real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slack {
    /// Shorter: an attempt was accepted late, so the next one seems early.
    pub early_us: u64,
    /// Longer: an attempt was made or accepted late, or took its time to fail.
    pub late_us: u64,
}

/// Every delay of every outage lies in the envelope of its schedule, and the delays of the outages
/// differ. An attempt that is overdue when the observation ends breaks it, too.
///
/// Limit: the outages are those of a service that has one connection, and tries one attempt at a time.
#[derive(Debug, Clone, Copy)]
pub struct FollowsSchedule {
    /// What is promised.
    pub schedule: Schedule,
    /// How exact we are.
    pub slack: Slack,
}

/// Fewer outages say little of a distribution: this many uniform delays lie within a quarter of their
/// envelope once in 33,000 times, twenty once in 10^10.
const OUTAGES_MIN: usize = 10;

/// Delays that differ by less than this part of the envelope are called equal.
const SPREAD_MIN: f64 = 0.25;

/// An envelope narrower than this many times our slack shows no spread for sure.
const WIDE_FACTOR: u64 = 4;

impl Check for FollowsSchedule {
    type Evidence = [Outage];

    fn check(&self, outages: &[Outage]) -> Verdict {
        if let Some(flaw) = self.schedule.flaw() {
            return Verdict::Fail(flaw);
        }
        if let Some(finding) = self.violation(outages) {
            return Verdict::Fail(finding);
        }
        if self.slack.early_us.max(self.slack.late_us) > self.schedule.cap_us / 4 {
            return Verdict::unknown(format!(
                "our own delay of {} ms is too long to judge delays of up to {} ms",
                self.slack.early_us.max(self.slack.late_us) / 1000,
                self.schedule.cap_us / 1000
            ));
        }
        if outages.len() < OUTAGES_MIN {
            return Verdict::unknown(format!(
                "{} outages, and it takes {OUTAGES_MIN} to tell a distribution",
                outages.len()
            ));
        }
        self.spread(outages)
    }
}

impl FollowsSchedule {
    /// A delay outside its envelope, if there is one; also while the outages still go on.
    pub fn violation(&self, outages: &[Outage]) -> Option<Finding> {
        let each = outages.iter().enumerate();
        each.filter_map(|(index, outage)| self.violation_of(index, outage))
            .next()
    }

    fn violation_of(&self, index: usize, outage: &Outage) -> Option<Finding> {
        for (number, delay_us) in (1..).zip(delays_us(outage)) {
            if !self.allows(number, delay_us) {
                let seen = format!("{} ms in outage {}", millis(delay_us), index + 1);
                return Some(self.finding(number, seen, outage));
            }
        }
        let last_us = outage.attempts_us.last().unwrap_or(&outage.began_us);
        let waiting_us = outage.observed_until_us.saturating_sub(*last_us);
        let number = outage.attempts_us.len() + 1;
        let (_, latest_us) = self.schedule.envelope_us(number);
        (waiting_us > latest_us + self.slack.late_us).then(|| {
            let seen = format!(
                "none {} ms after the one before, in outage {}",
                millis(waiting_us),
                index + 1
            );
            self.finding(number, seen, outage)
        })
    }

    fn allows(&self, number: usize, delay_us: u64) -> bool {
        let (earliest_us, latest_us) = self.schedule.envelope_us(number);
        delay_us + self.slack.early_us >= earliest_us && delay_us <= latest_us + self.slack.late_us
    }

    fn finding(&self, number: usize, seen: String, outage: &Outage) -> Finding {
        let (earliest_us, latest_us) = self.schedule.envelope_us(number);
        let expected = format!(
            "attempt {number} made {} to {} ms after the one before",
            millis(earliest_us),
            millis(latest_us)
        );
        Finding::new(expected, seen).with_evidence(describe(outage))
    }

    /// The delays before the same attempt must differ between the outages.
    fn spread(&self, outages: &[Outage]) -> Verdict {
        let mut judged = 0;
        for number in 1.. {
            let delay = |outage: &Outage| delays_us(outage).nth(number - 1);
            let Some(delays) = outages.iter().map(delay).collect::<Option<Vec<u64>>>() else {
                break;
            };
            let (earliest_us, latest_us) = self.schedule.envelope_us(number);
            let width_us = latest_us - earliest_us;
            if width_us < WIDE_FACTOR * self.slack.late_us {
                continue;
            }
            judged += 1;
            let shortest_us = delays.iter().min().copied().unwrap_or_default();
            let longest_us = delays.iter().max().copied().unwrap_or_default();
            if ((longest_us - shortest_us) as f64) < SPREAD_MIN * width_us as f64 {
                return Verdict::fail(
                    format!(
                        "jitter: the delays before attempt {number} spread over {} to {} ms",
                        millis(earliest_us),
                        millis(latest_us)
                    ),
                    format!(
                        "all {} between {} and {} ms",
                        delays.len(),
                        millis(shortest_us),
                        millis(longest_us)
                    ),
                );
            }
        }
        if judged == 0 {
            return Verdict::unknown(
                "no attempt that all outages reached has an envelope wide enough",
            );
        }
        Verdict::Pass
    }
}

/// From the loss to the first attempt, and from each attempt to the next.
fn delays_us(outage: &Outage) -> impl Iterator<Item = u64> {
    let before = std::iter::once(&outage.began_us).chain(&outage.attempts_us);
    before
        .zip(&outage.attempts_us)
        .map(|(before, attempt)| attempt.saturating_sub(*before))
}

/// The beginning of an outage, as evidence.
fn describe(outage: &Outage) -> String {
    const SHOWN: usize = 24;
    let delays: Vec<String> = delays_us(outage).take(SHOWN).map(millis).collect();
    format!(
        "{} attempts; delays in ms: {}",
        outage.attempts_us.len(),
        delays.join(", ")
    )
}

fn millis(us: u64) -> String {
    format!("{:.1}", us as f64 / 1000.0)
}

#[cfg(test)]
mod tests;
