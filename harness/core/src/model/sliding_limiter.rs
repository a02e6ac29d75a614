//! A rate limiter with a sliding window, one client at a time.
//!
//! Time is real here, and when a limiter decided is known only to lie between the sending of a request and its answer.
//! So the model says what must be, and where both would do, that.

use std::collections::HashMap;
use std::ops::RangeInclusive;

/// From the sending of a request to its answer, in microseconds.
pub type Span = RangeInclusive<u64>;

/// What a request has to be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// There is room.
    Admission,
    /// There is none.
    Refusal,
    /// An admission leaves the window just then.
    Either,
}

/// The model.
#[derive(Debug, Clone)]
pub struct SlidingLimiterModel {
    limit: u64,
    window_us: u64,
    slack_us: u64,
    admitted: HashMap<String, Vec<Span>>,
}

impl SlidingLimiterModel {
    /// A limiter that admits `limit` requests in any window, and measures time as exactly as `slack_us`.
    pub fn new(limit: u64, window_us: u64, slack_us: u64) -> Self {
        Self {
            limit,
            window_us,
            slack_us,
            admitted: HashMap::new(),
        }
    }

    /// What a request of this subject had to be answered with, before it is noted.
    pub fn due(&self, subject: &str, call: &Span) -> Due {
        let (surely, perhaps) = self.in_window(subject, call);
        if surely >= self.limit {
            Due::Refusal
        } else if perhaps < self.limit {
            Due::Admission
        } else {
            Due::Either
        }
    }

    /// It was admitted.
    pub fn admit(&mut self, subject: &str, call: Span) {
        let admitted = self.admitted.entry(subject.to_owned()).or_default();
        admitted.push(call);
    }

    /// How many more the window may have admitted at that time, after what has been noted.
    pub fn remaining(&self, subject: &str, call: &Span) -> RangeInclusive<u64> {
        let (surely, perhaps) = self.in_window(subject, call);
        self.limit.saturating_sub(perhaps)..=self.limit.saturating_sub(surely)
    }

    /// The subject's last admission is more than a window ago.
    pub fn end_window(&mut self, subject: &str) {
        self.admitted.remove(subject);
    }

    /// The store was emptied.
    pub fn flush(&mut self) {
        self.admitted.clear();
    }

    /// How many admissions the window before the decision holds: surely, and at most.
    fn in_window(&self, subject: &str, call: &Span) -> (u64, u64) {
        let admitted = self.admitted.get(subject).into_iter().flatten();
        let mut counts = (0, 0);
        for earlier in admitted {
            let longest_us = call.end().saturating_sub(*earlier.start());
            let shortest_us = call.start().saturating_sub(*earlier.end());
            counts.0 += u64::from(longest_us + self.slack_us < self.window_us);
            counts.1 += u64::from(shortest_us < self.window_us + self.slack_us);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> SlidingLimiterModel {
        let mut model = SlidingLimiterModel::new(2, 1000, 0);
        model.admit("a", 0..=10);
        model.admit("a", 500..=510);
        model
    }

    #[test]
    fn each_admission_leaves_by_itself() {
        assert_eq!(model().due("a", &(900..=910)), Due::Refusal);
        assert_eq!(model().due("a", &(995..=1005)), Due::Either);
        assert_eq!(model().due("a", &(1011..=1020)), Due::Admission);
        assert_eq!(model().remaining("a", &(1011..=1020)), 1..=1);
        assert_eq!(model().remaining("a", &(995..=1005)), 0..=1);
        assert_eq!(model().remaining("a", &(1600..=1610)), 2..=2);
    }

    #[test]
    fn subjects_share_nothing_and_the_store_may_be_emptied() {
        assert_eq!(model().due("b", &(600..=610)), Due::Admission);
        let mut flushed = model();
        flushed.flush();
        assert_eq!(flushed.due("a", &(600..=610)), Due::Admission);
        let mut ended = model();
        ended.end_window("a");
        assert_eq!(ended.remaining("a", &(600..=610)), 2..=2);
    }
}
