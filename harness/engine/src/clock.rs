//! The one clock of a scenario: microseconds since it began, monotonic.

use std::time::Instant;

/// Copied to everyone who stamps something, so that all times of a scenario compare.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Microseconds since the beginning.
    pub fn now_us(&self) -> u64 {
        self.at_us(Instant::now())
    }

    /// An instant on this clock; 0 for one before the beginning.
    pub fn at_us(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX)
    }
}
