//! Why a scenario stops before its end. The type of an error decides: what the subject breaks is a failure, what the
//! environment breaks is unknown.

use crate::environment::EnvironmentError;
use crate::poll::TimedOut;
use crate::proxy::ProxyError;
use crate::store::StoreError;
use crate::subject::{CallError, SubjectError};
use touchstone_core::{Finding, Verdict};

/// Why a scenario stops before its end.
#[derive(Debug)]
pub enum Stop {
    /// The subject broke an expectation.
    Fail(Finding),
    /// The subject broke an expectation, and no delay of anybody's can have made it look so: something is in the store
    /// that may never be there, for instance. Neither a stall of ours nor a fault that did not bite is an excuse.
    Proven(Finding),
    /// It cannot be told.
    Unknown {
        /// Why.
        reason: String,
        /// Whether an environment could not be had at all.
        environment_failed: bool,
    },
    /// The subject does not have what the criterion is about.
    Skip {
        /// What is missing.
        reason: String,
        /// Whether the manifest says so.
        declared: bool,
    },
}

impl Stop {
    /// The subject broke an expectation.
    pub fn fail(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Stop::Fail(Finding::new(expected, seen))
    }

    /// A failure that does not depend on when anything happened.
    #[must_use]
    pub fn whatever_stalled(self) -> Self {
        match self {
            Stop::Fail(finding) => Stop::Proven(finding),
            other => other,
        }
    }

    /// It cannot be told.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Stop::Unknown {
            reason: reason.into(),
            environment_failed: false,
        }
    }
}

impl From<EnvironmentError> for Stop {
    fn from(error: EnvironmentError) -> Self {
        match error {
            EnvironmentError::Subject(error) => error.into(),
            EnvironmentError::FixedPort(_) => Stop::Skip {
                reason: error.to_string(),
                declared: true,
            },
            other => Stop::Unknown {
                reason: crate::error_chain(&other),
                environment_failed: true,
            },
        }
    }
}

impl From<SubjectError> for Stop {
    fn from(error: SubjectError) -> Self {
        if error.is_of_subject() {
            return Stop::Fail(error.finding());
        }
        Stop::Unknown {
            reason: crate::error_chain(&error),
            environment_failed: true,
        }
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotMapped(name) => Stop::Skip {
                reason: format!("the manifest maps no operation `{}`", name.key()),
                declared: false,
            },
            CallError::BadRequest { .. } => Stop::unknown(error.to_string()),
            _ => Stop::fail("an answer", error.to_string()),
        }
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Stop::Unknown {
            reason: crate::error_chain(&error),
            environment_failed: true,
        }
    }
}

impl From<ProxyError> for Stop {
    fn from(error: ProxyError) -> Self {
        Stop::unknown(crate::error_chain(&error))
    }
}

impl From<redis::RedisError> for Stop {
    fn from(error: redis::RedisError) -> Self {
        Stop::unknown(format!("the harness's own look into Redis failed: {error}"))
    }
}

impl From<tokio_postgres::Error> for Stop {
    fn from(error: tokio_postgres::Error) -> Self {
        let error = crate::error_chain(&error);
        Stop::unknown(format!(
            "the harness's own look into Postgres failed: {error}"
        ))
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Stop::unknown(format!("the harness itself failed: {error}"))
    }
}

/// Turns what was waited for in vain into a failure of the subject.
pub trait OrFail<T> {
    /// The subject should have done this in time.
    fn or_fail(self, expected: impl Into<String>) -> Result<T, Stop>;
}

impl<T> OrFail<T> for Result<T, TimedOut> {
    fn or_fail(self, expected: impl Into<String>) -> Result<T, Stop> {
        self.map_err(|timeout| Stop::fail(expected, timeout.to_string()))
    }
}

/// A check's verdict as the end, or not, of a scenario.
pub fn demand(verdict: Verdict) -> Result<(), Stop> {
    match verdict {
        Verdict::Pass => Ok(()),
        Verdict::Fail(finding) => Err(Stop::Fail(finding)),
        Verdict::Unknown { reason, .. } => Err(Stop::unknown(reason)),
        Verdict::Skipped { reason, declared } => Err(Stop::Skip { reason, declared }),
    }
}

/// Ends the scenario as failed unless the expectation holds.
pub fn expect(
    holds: bool,
    expected: impl Into<String>,
    seen: impl Into<String>,
) -> Result<(), Stop> {
    if holds {
        Ok(())
    } else {
        Err(Stop::fail(expected, seen))
    }
}
