//! A burst inside one rate window admits exactly what the limit allows.

use super::Check;
use crate::verdict::{Finding, Verdict};

/// One request against a rate limiter, in microseconds since the scenario began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitedCall {
    /// When it was sent.
    pub called_us: u64,
    /// When its answer was complete.
    pub returned_us: u64,
    /// Whether it was admitted; `None` if the answer was neither yes nor no.
    pub admitted: Option<bool>,
}

/// For a fixed window that begins with the first request of the burst: exactly
/// `min(requests, limit)` are admitted, whatever the concurrency.
#[derive(Debug, Clone, Copy)]
pub struct WindowLimit {
    /// How many a window admits.
    pub limit: u64,
    /// How long a window is.
    pub window_us: u64,
}

impl Check for WindowLimit {
    type Evidence = [LimitedCall];

    fn check(&self, burst: &[LimitedCall]) -> Verdict {
        let (Some(first_us), Some(last_us)) = (
            burst.iter().map(|call| call.called_us).min(),
            burst.iter().map(|call| call.returned_us).max(),
        ) else {
            return Verdict::unknown("the burst holds no request");
        };
        if last_us - first_us >= self.window_us {
            return Verdict::unknown(format!(
                "the burst took {} ms, longer than the window of {} ms",
                (last_us - first_us) / 1000,
                self.window_us / 1000
            ));
        }
        let undecided = burst.iter().filter(|call| call.admitted.is_none()).count();
        let admitted = burst
            .iter()
            .filter(|call| call.admitted == Some(true))
            .count() as u64;
        self.judge(burst.len() as u64, admitted, undecided as u64)
    }
}

impl WindowLimit {
    fn judge(&self, requests: u64, admitted: u64, undecided: u64) -> Verdict {
        let due = requests.min(self.limit);
        let expected = format!(
            "{due} of {requests} requests admitted (limit {})",
            self.limit
        );
        if admitted > due || admitted + undecided < due {
            return Verdict::Fail(Finding::new(expected, format!("{admitted} admitted")));
        }
        if undecided > 0 {
            return Verdict::Fail(Finding::new(
                format!("{expected}, each request answered with yes or no"),
                format!("{undecided} answered with neither"),
            ));
        }
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: WindowLimit = WindowLimit {
        limit: 3,
        window_us: 1000,
    };

    fn burst(admitted: &[bool]) -> Vec<LimitedCall> {
        let call = |(at, admitted): (usize, &bool)| LimitedCall {
            called_us: at as u64,
            returned_us: at as u64 + 10,
            admitted: Some(*admitted),
        };
        admitted.iter().enumerate().map(call).collect()
    }

    #[test]
    fn as_many_as_the_limit_allows_pass() {
        assert_eq!(LIMIT.check(&burst(&[true, true])), Verdict::Pass);
        assert_eq!(
            LIMIT.check(&burst(&[true, true, true, false, false])),
            Verdict::Pass
        );
    }

    #[test]
    fn one_more_and_one_fewer_fail() {
        assert_eq!(LIMIT.check(&burst(&[true; 4])).word(), "fail");
        assert_eq!(
            LIMIT.check(&burst(&[true, true, false, false])).word(),
            "fail"
        );
        assert_eq!(LIMIT.check(&burst(&[true, false])).word(), "fail");
    }

    #[test]
    fn an_answer_that_is_neither_yes_nor_no_fails() {
        let mut calls = burst(&[true, true, true, false]);
        calls[3].admitted = None;
        assert_eq!(LIMIT.check(&calls).word(), "fail");
    }

    #[test]
    fn a_burst_longer_than_the_window_is_unknown() {
        let mut calls = burst(&[true, true, true, false]);
        calls[3].returned_us = 2000;
        assert_eq!(LIMIT.check(&calls).word(), "unknown");
        assert_eq!(LIMIT.check(&[]).word(), "unknown");
    }
}
