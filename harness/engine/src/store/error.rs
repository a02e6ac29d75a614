//! Why a store could not be driven. Always the environment's fault, never the subject's.

use super::docker::DockerError;
use super::process::ProcessError;
use super::spec::StoreKind;
use crate::poll::TimedOut;

/// What went wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A child process could not be driven.
    #[error("the {kind} process could not be driven")]
    Process {
        /// Which store.
        kind: StoreKind,
        /// Why.
        source: ProcessError,
    },
    /// A container could not be driven.
    #[error("the {kind} container could not be driven")]
    Docker {
        /// Which store.
        kind: StoreKind,
        /// Why.
        source: DockerError,
    },
    /// It did not become ready; its last log lines are in the text, since they hold the reason.
    #[error("{kind} did not become ready: {timeout}; its log ends with:\n{log_tail}")]
    NotReady {
        /// Which store.
        kind: StoreKind,
        /// How long was waited, and what was last seen.
        timeout: TimedOut,
        /// The end of the server's log.
        log_tail: String,
    },
    /// It was asked for while it does not run.
    #[error("{0} is not running")]
    NotRunning(StoreKind),
    /// It accepted the connection and said nothing.
    #[error("the server accepts connections but does not answer")]
    Silent,
    /// The Redis client failed.
    #[error("the harness's own Redis client failed")]
    Redis(#[from] redis::RedisError),
    /// The Postgres client failed.
    #[error("the harness's own Postgres client failed")]
    Postgres(#[from] tokio_postgres::Error),
}
