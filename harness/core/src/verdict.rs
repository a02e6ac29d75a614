//! The answer for one criterion. Three values that judge, and one that says why nothing was judged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What was found out about one criterion in one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Verdict {
    /// Every expectation held, every fault was seen to bite.
    Pass,
    /// The subject broke an expectation.
    Fail(Finding),
    /// It cannot be told: the environment broke, a fault did not bite, or the harness was too slow
    /// to be a witness. Never passes a gate.
    Unknown {
        /// Why it cannot be told.
        reason: String,
        /// What supports the reason, a line each.
        evidence: Vec<String>,
    },
    /// Not run.
    Skipped {
        /// Why not.
        reason: String,
        /// Whether the manifest declares the absence; the merge profile accepts no other skip.
        declared: bool,
    },
}

/// A broken expectation, told so that a reader need not open the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What had to be seen.
    pub expected: String,
    /// What was seen instead.
    pub seen: String,
    /// What supports it: log lines, timelines, bodies, a line each.
    pub evidence: Vec<String>,
}

impl Finding {
    /// A finding without evidence yet.
    pub fn new(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            seen: seen.into(),
            evidence: Vec::new(),
        }
    }

    /// Adds one line of evidence.
    #[must_use]
    pub fn with_evidence(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }
}

impl Verdict {
    /// A failure without evidence.
    pub fn fail(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Verdict::Fail(Finding::new(expected, seen))
    }

    /// An unknown without evidence.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Verdict::Unknown {
            reason: reason.into(),
            evidence: Vec::new(),
        }
    }

    /// The verdict's one word, as every report spells it.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail(_) => "fail",
            Verdict::Unknown { .. } => "unknown",
            Verdict::Skipped { .. } => "skipped",
        }
    }

    /// Whether this verdict lets a gate pass.
    pub fn is_acceptable(&self) -> bool {
        match self {
            Verdict::Pass | Verdict::Skipped { declared: true, .. } => true,
            Verdict::Fail(_)
            | Verdict::Unknown { .. }
            | Verdict::Skipped {
                declared: false, ..
            } => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Pass => f.write_str("pass"),
            Verdict::Fail(finding) => {
                write!(
                    f,
                    "fail: expected {}; seen {}",
                    finding.expected, finding.seen
                )
            }
            Verdict::Unknown { reason, .. } => write!(f, "unknown: {reason}"),
            Verdict::Skipped { reason, .. } => write!(f, "skipped: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pass_and_a_declared_skip_let_a_gate_pass() {
        let skipped = |declared| Verdict::Skipped {
            reason: "no such route".into(),
            declared,
        };
        assert!(Verdict::Pass.is_acceptable());
        assert!(skipped(true).is_acceptable());
        assert!(!skipped(false).is_acceptable());
        assert!(!Verdict::unknown("the fault did not bite").is_acceptable());
        assert!(!Verdict::fail("503", "200").is_acceptable());
    }
}
