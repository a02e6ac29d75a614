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
        let broken = self.report_is_late(outage, *reported_us);
        let broken = broken.or_else(|| self.hammers_after(outage, (*reported_us)?));
        if let Some(finding) = broken {
            return Verdict::Fail(finding.with_evidence(describe(outage)));
        }
        let watched_us = outage
            .observed_until_us
            .saturating_sub(reported_us.unwrap_or(u64::MAX));
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

impl AfterExhaustion {
    fn report_is_late(&self, outage: &Outage, reported_us: Option<u64>) -> Option<Finding> {
        let until_us = reported_us.unwrap_or(u64::MAX);
        let before = outage
            .attempts_us
            .partition_point(|at_us| *at_us <= until_us);
        let seen = match reported_us {
            None => format!("none; {before} attempts were made"),
            Some(_) if before > self.attempts_max => format!("{before} attempts before it"),
            Some(_) => return None,
        };
        let expected = format!(
            "an error in the log after at most {} attempts",
            self.attempts_max
        );
        Some(Finding::new(expected, seen))
    }

    fn hammers_after(&self, outage: &Outage, reported_us: u64) -> Option<Finding> {
        let pairs = outage.attempts_us.windows(2);
        let after = pairs.filter(|pair| pair[1] > reported_us);
        let gap_us = after.map(|pair| pair[1] - pair[0]).min()?;
        (gap_us + self.early_us < self.cap_us).then(|| {
            let cap_ms = millis(self.cap_us);
            Finding::new(
                format!("at most one attempt per {cap_ms} ms after the report"),
                format!("two within {} ms", millis(gap_us)),
            )
        })
    }
}
