//! Which deadlines a manifest has loosened.

use super::sections::Deadlines;

impl Deadlines {
    /// Each deadline's name, what this manifest allows, and the criterion's default, in milliseconds.
    pub fn named(&self) -> [(&'static str, u64, u64); 9] {
        let default = Deadlines::default();
        [
            ("ready_ms", self.ready_ms, default.ready_ms),
            (
                "start_failure_ms",
                self.start_failure_ms,
                default.start_failure_ms,
            ),
            (
                "health_answer_ms",
                self.health_answer_ms,
                default.health_answer_ms,
            ),
            (
                "health_notice_ms",
                self.health_notice_ms,
                default.health_notice_ms,
            ),
            ("recover_ms", self.recover_ms, default.recover_ms),
            ("replace_ms", self.replace_ms, default.replace_ms),
            (
                "degraded_answer_ms",
                self.degraded_answer_ms,
                default.degraded_answer_ms,
            ),
            ("shutdown_ms", self.shutdown_ms, default.shutdown_ms),
            ("answer_ms", self.answer_ms, default.answer_ms),
        ]
    }

    /// Those that are looser than the default: name, allowed, default.
    pub fn loosened(&self) -> Vec<(&'static str, u64, u64)> {
        self.named()
            .into_iter()
            .filter(|(_, allowed, default)| allowed > default)
            .collect()
    }
}
