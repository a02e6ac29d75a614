//! Why a container store could not be driven.

use super::engine::Why;
use crate::poll::TimedOut;

/// What went wrong with a container.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// There is no engine to ask.
    #[error(transparent)]
    Engine(#[from] Why),
    /// The engine refused.
    #[error("the Docker engine could not {action} {server}")]
    Refused {
        /// What was asked of it.
        action: &'static str,
        /// For which server, by its name in the run.
        server: String,
        /// What it said.
        source: EngineSaid,
    },
    /// The engine agreed, and the container did not follow.
    #[error(transparent)]
    Unmoved(#[from] TimedOut),
}

/// The engine's own words, with the store's password taken out. Text and not the client's error: that
/// may hold the request, and the request holds the password.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EngineSaid(String);

impl EngineSaid {
    /// Takes the words of an error and its causes.
    pub(super) fn new(error: &dyn std::error::Error, password: &str) -> Self {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            // The client's errors repeat their cause in their own text.
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            next = cause.source();
        }
        if !password.is_empty() {
            text = text.replace(password, "***");
        }
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_in_what_the_engine_said() {
        let error = std::io::Error::other("exec redis-server --requirepass s3cret failed");
        let said = EngineSaid::new(&error, "s3cret");
        assert_eq!(
            said.to_string(),
            "exec redis-server --requirepass *** failed"
        );
        assert!(!format!("{said:?}").contains("s3cret"));
    }

    #[test]
    fn without_a_password_the_text_stays_as_it_is() {
        let said = EngineSaid::new(&std::io::Error::other("no such image"), "");
        assert_eq!(said.to_string(), "no such image");
    }
}
