//! A declared backoff: exponential, capped, with jitter.

use crate::verdict::Finding;

/// How far a delay may be from its nominal length, as the subject declares it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter {
    /// The shortest delay, as a part of the nominal one.
    pub low: f64,
    /// The longest delay, as a part of the nominal one.
    pub high: f64,
    /// What may come on top of the longest, whatever the nominal one is.
    pub extra_us: u64,
}

/// When attempts to reconnect are made. The nominal delay before attempt 1 is `base_us`, before each
/// further one `factor` times as long, at most `cap_us`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Nominal delay before the first attempt.
    pub base_us: u64,
    /// Each nominal delay is so many times as long as the one before.
    pub factor: f64,
    /// No nominal delay is longer.
    pub cap_us: u64,
    /// How far delays stray.
    pub jitter: Jitter,
    /// The nominal delay before the very first attempt, where that is another one (0: at once); the
    /// second attempt then comes after `base_us`.
    pub first_us: Option<u64>,
}

/// A float that large has no exact neighbours; no schedule needs it.
const EXPONENT_MAX: i32 = 1000;

impl Schedule {
    /// Shortest and longest delay before an attempt; attempts count from 1.
    pub fn envelope_us(&self, attempt: usize) -> (u64, u64) {
        let nominal_us = self.nominal_us(attempt);
        let Jitter {
            low,
            high,
            extra_us,
        } = self.jitter;
        let shortest_us = (nominal_us * low).floor() as u64;
        let longest_us = (nominal_us * high).ceil() as u64 + extra_us;
        (shortest_us, longest_us)
    }

    /// The longest delay of all.
    pub fn longest_us(&self) -> u64 {
        (self.cap_us as f64 * self.jitter.high).ceil() as u64 + self.jitter.extra_us
    }

    /// When an attempt has been made at the latest, counted from the loss.
    pub fn latest_us(&self, attempt: usize) -> u64 {
        (1..=attempt).map(|number| self.envelope_us(number).1).sum()
    }

    /// The first attempt whose nominal delay is the cap.
    pub fn first_capped(&self) -> usize {
        let mut attempt = 1;
        while self.factor > 1.0 && self.nominal_us(attempt) < self.cap_us as f64 {
            attempt += 1;
        }
        attempt
    }

    /// Why this is no exponential backoff with jitter, if it is none.
    pub(super) fn flaw(&self) -> Option<Finding> {
        let Jitter {
            low,
            high,
            extra_us,
        } = self.jitter;
        let no_jitter = low >= high && extra_us == 0;
        if self.factor > 1.0 && !no_jitter {
            return None;
        }
        let expected = "a declared backoff whose delays grow, and with jitter";
        let seen = format!(
            "factor {}, delays of {low} to {high} times the nominal one",
            self.factor
        );
        Some(Finding::new(expected, seen))
    }

    fn nominal_us(&self, attempt: usize) -> f64 {
        let base = usize::from(self.first_us.is_some());
        match (self.first_us, attempt) {
            (Some(first_us), 0 | 1) => first_us as f64,
            _ => {
                let exponent = attempt.saturating_sub(base + 1);
                let exponent = i32::try_from(exponent).unwrap_or(EXPONENT_MAX);
                let grown = self.base_us as f64 * self.factor.powi(exponent.min(EXPONENT_MAX));
                grown.min(self.cap_us as f64)
            }
        }
    }
}
