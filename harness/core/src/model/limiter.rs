//! A fixed-window rate limiter, one client at a time.

use std::collections::HashMap;

/// The model. The test moves time by ending windows; nothing here reads a clock.
#[derive(Debug, Clone)]
pub struct LimiterModel {
    limit: u64,
    admitted: HashMap<String, u64>,
}

impl LimiterModel {
    /// A limiter that admits `limit` requests a window.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            admitted: HashMap::new(),
        }
    }

    /// Whether the next request of this subject (a user at an endpoint, say) is admitted. Counts it.
    pub fn request(&mut self, subject: &str) -> bool {
        let admitted = self.admitted.entry(subject.to_owned()).or_default();
        let allowed = *admitted < self.limit;
        *admitted += u64::from(allowed);
        allowed
    }

    /// How many more the current window admits.
    pub fn remaining(&self, subject: &str) -> u64 {
        self.limit - self.admitted.get(subject).copied().unwrap_or(0)
    }

    /// Whether a window is open for this subject.
    pub fn has_window(&self, subject: &str) -> bool {
        self.admitted.contains_key(subject)
    }

    /// The subject's window is over; the next request opens a new one.
    pub fn end_window(&mut self, subject: &str) {
        self.admitted.remove(subject);
    }

    /// The store was emptied: every window is over.
    pub fn flush(&mut self) {
        self.admitted.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_admits_the_limit_and_a_new_one_as_much_again() {
        let mut model = LimiterModel::new(2);
        assert_eq!([(); 3].map(|()| model.request("a")), [true, true, false]);
        assert_eq!(model.remaining("a"), 0);
        assert!(model.request("b"), "subjects share nothing");
        model.end_window("a");
        assert_eq!([(); 3].map(|()| model.request("a")), [true, true, false]);
    }
}
