//! After so many attempts in vain: an error in the log, and from then on at most one attempt per cap.

use super::super::Check;
use super::{Outage, describe, millis};
use crate::verdict::{Finding, Verdict};

/// An outage that outlasts the attempts in a row, and when the log told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongOutage {
    /// Its attempts.
    pub outage: Outage,
    /// When the error was first seen in the log; `None` if it was not.
    pub reported_us: Option<u64>,
}

/// Whatever else goes on: at most `attempts_max` attempts until the error is logged, and none that
/// follows the one before it sooner than the cap from then on.
#[derive(Debug, Clone, Copy)]
pub struct AfterExhaustion {
    /// How many attempts in a row are allowed.
    pub attempts_max: usize,
    /// The longest nominal delay.
    pub cap_us: u64,
    /// How much shorter than it was a delay may seem to us.
    pub early_us: u64,
}

/// So many caps have to be watched after the report: fewer attempts than these say nothing.
const CAPS_MIN: u64 = 3;

impl Check for AfterExhaustion {
    type Evidence = LongOutage;

    fn check(&self, evidence: &LongOutage) -> Verdict {
        let LongOutage {
            outage,
            reported_us,
        } = evidence;
        let fail = |expected: String, seen: String| {
            Verdict::Fail(Finding::new(expected, seen).with_evidence(describe(outage)))
        };
        let expected = format!(
            "an error in the log after at most {} attempts",
            self.attempts_max
        );
        let Some(reported_us) = *reported_us else {
            return fail(
                expected,
                format!("none; {} attempts were made", outage.attempts_us.len()),
            );
        };
        let before = outage
            .attempts_us
            .partition_point(|at_us| *at_us <= reported_us);
        if before > self.attempts_max {
            return fail(expected, format!("{before} attempts before it"));
        }
        let pairs = outage.attempts_us.windows(2);
        let after = pairs.filter(|pair| pair[1] > reported_us);
        if let Some(gap_us) = after.map(|pair| pair[1] - pair[0]).min()
            && gap_us + self.early_us < self.cap_us
        {
            return fail(
                format!(
                    "at most one attempt per {} ms after the report",
                    millis(self.cap_us)
                ),
                format!("two within {} ms", millis(gap_us)),
            );
        }
        let watched_us = outage.observed_until_us.saturating_sub(reported_us);
        if watched_us < CAPS_MIN * self.cap_us {
            return Verdict::unknown(format!(
                "watched for {} ms after the report, and it takes {} ms",
                millis(watched_us),
                millis(CAPS_MIN * self.cap_us)
            ));
        }
        Verdict::Pass
    }
}
