//! A timeline of probes: the health of a service as an outside observer saw it.

use serde::{Deserialize, Serialize};

/// One probe of a health endpoint. Times are microseconds since the scenario began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When the probe was due.
    pub due_us: u64,
    /// When it was really sent; later than due means that *we* were late.
    pub sent_us: u64,
    /// When the answer was complete, or when we gave up.
    pub done_us: u64,
    /// What was answered.
    pub answer: ProbeAnswer,
}

/// What a probe was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ProbeAnswer {
    /// A health document, read through the manifest.
    Health(HealthSeen),
    /// An HTTP answer that is no health document: its status and why it could not be read.
    Unreadable {
        /// The HTTP status.
        status: u16,
        /// What is wrong with the document.
        problem: String,
    },
    /// No answer before the deadline.
    TimedOut,
    /// The connection failed.
    Broken(String),
}

/// A health answer in the harness's own terms.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HealthSeen {
    /// The HTTP status.
    pub status: u16,
    /// Whether the document says that all is well.
    pub overall_ok: bool,
    /// Whether it says that Redis is connected.
    pub redis_connected: bool,
    /// Whether it says that Postgres is connected.
    pub postgres_connected: bool,
}

impl Probe {
    /// How long the answer took, counted from when the probe was sent, in microseconds.
    pub fn latency_us(&self) -> u64 {
        self.done_us.saturating_sub(self.sent_us)
    }

    /// The answer in a few words, for evidence.
    pub fn describe(&self) -> String {
        let at_ms = self.sent_us / 1000;
        let took_ms = self.latency_us() / 1000;
        let what = match &self.answer {
            ProbeAnswer::Health(seen) => seen.describe(),
            ProbeAnswer::Unreadable { status, problem } => format!("{status}, {problem}"),
            ProbeAnswer::TimedOut => "no answer".to_owned(),
            ProbeAnswer::Broken(error) => format!("broken: {error}"),
        };
        format!("at {at_ms} ms: {what} (after {took_ms} ms)")
    }
}

impl HealthSeen {
    /// The answer in a few words.
    pub fn describe(&self) -> String {
        let word = |connected| {
            if connected {
                "connected"
            } else {
                "disconnected"
            }
        };
        format!(
            "{} {}, redis {}, postgres {}",
            self.status,
            if self.overall_ok { "ok" } else { "degraded" },
            word(self.redis_connected),
            word(self.postgres_connected)
        )
    }
}
