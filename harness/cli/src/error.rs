//! From an error to an exit code. An error that nobody expected is a bug of ours.

use crate::output::complain;
use touchstone_core::ExitCode;
use touchstone_engine::environment::EnvironmentError;
use touchstone_engine::kept::KeptError;
use touchstone_engine::run::RunError;
use touchstone_engine::subject::SubjectError;
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
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let code = code_of(error);
    complain(&format!("error: {error:#}"));
    if let Some(hint) = hint(error) {
        complain(&format!("hint: {hint}"));
    }
    if code == ExitCode::HarnessBug {
        complain("This is a bug in touchstone: nothing above says what you could do about it.");
    }
    code
}

fn code_of(error: &anyhow::Error) -> ExitCode {
    if error.is::<UsageError>() || error.is::<ManifestError>() || error.is::<RunFolderError>() {
        return ExitCode::Usage;
    }
    match (environment_in(error), error.downcast_ref::<RunError>()) {
        (Some(error), _) => of_environment(error),
        (None, Some(_)) => ExitCode::Environment,
        _ if error.is::<EnvironmentMissing>() || error.is::<KeptError>() => ExitCode::Environment,
        _ => ExitCode::HarnessBug,
    }
}

/// The environment's own error, whichever command it has ended.
fn environment_in(error: &anyhow::Error) -> Option<&EnvironmentError> {
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(RunError::Environment(error)), _) => Some(error),
        (_, Some(KeptError::Environment(error))) => Some(error),
        _ => None,
    }
}

/// Some of its parts are named by the manifest, and are put right there.
fn of_environment(error: &EnvironmentError) -> ExitCode {
    match error {
        EnvironmentError::Schema { .. }
        | EnvironmentError::SchemaRefused { .. }
        | EnvironmentError::Subject(SubjectError::Spawn { .. }) => ExitCode::Usage,
        _ => ExitCode::Environment,
    }
}

/// What to do, where the error itself does not say.
fn hint(error: &anyhow::Error) -> Option<&'static str> {
    match environment_in(error) {
        Some(error) if of_environment(error) == ExitCode::Environment => {
            Some("`touchstone doctor` says what is here and what is missing")
        }
        _ => match error.downcast_ref::<ManifestError>() {
            Some(ManifestError::Read { .. }) => {
                Some("name the subject's manifest with --subject FILE")
            }
            _ if error.is::<RunFolderError>() => {
                Some("name a directory that can be written with --report-dir DIR")
            }
            _ => None,
        },
    }
}
