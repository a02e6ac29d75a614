//! From an error to an exit code. An error that nobody expected is a bug of ours.

use touchstone_core::ExitCode;
use touchstone_engine::run::RunError;
use touchstone_engine::subject::manifest::ManifestError;
use touchstone_report::writer::RunFolderError;

/// Something is wrong with what we were asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// What we need is not here.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EnvironmentMissing(pub(crate) String);

/// Prints the error with its causes, and gives the exit code that it stands for.
#[expect(clippy::print_stderr, reason = "this is where errors are printed")]
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let code = code_of(error);
    eprintln!("error: {error:#}");
    if code == ExitCode::HarnessBug {
        eprintln!("This is a bug in touchstone: nothing above says what you could do about it.");
    }
    code
}

fn code_of(error: &anyhow::Error) -> ExitCode {
    if error.is::<UsageError>() || error.is::<ManifestError>() || error.is::<RunFolderError>() {
        return ExitCode::Usage;
    }
    match error.downcast_ref::<RunError>() {
        Some(RunError::Scope(_) | RunError::Environment(_) | RunError::Thread(_)) => {
            ExitCode::Environment
        }
        None if error.is::<EnvironmentMissing>() => ExitCode::Environment,
        None => ExitCode::HarnessBug,
    }
}
