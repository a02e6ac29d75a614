//! Checks: from what was seen to a verdict. Each is linear or near it in the size of its input.

pub mod backoff;
pub mod no_stale_read;
pub mod timeline;
pub mod trailing_limit;
pub mod unguessable;
pub mod window_limit;

use crate::verdict::Verdict;

/// A judgement over one kind of evidence.
pub trait Check {
    /// What it judges.
    type Evidence: ?Sized;

    /// Judges. Pure: the same evidence gives the same verdict.
    fn check(&self, evidence: &Self::Evidence) -> Verdict;
}
