//! The file that a subject finds its password in, and every password that has been in it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use touchstone_core::redact::Redactor;
use touchstone_engine::environment::Environment;
use touchstone_engine::scenario::Stop;

/// See the module.
pub(super) struct PasswordFile {
    path: PathBuf,
    passwords: Redactor,
}

impl PasswordFile {
    /// Not written yet.
    pub(super) fn create(environment: &Environment, name: &str) -> Result<Self, Stop> {
        Ok(Self {
            path: environment.private_dir("password")?.join(name),
            passwords: Redactor::default(),
        })
    }

    /// The path as text, for a placeholder.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// A password that nobody had before, and that no report will show.
    pub(super) fn make_up(&mut self, environment: &Environment) -> String {
        let password = format!("rotated{:032x}", rand::random::<u128>());
        environment.add_secret(&password);
        self.passwords.add(&password);
        password
    }

    /// As whatever rotates secrets does it: another file in its place, never half of one.
    pub(super) fn write(&self, password: &str) -> Result<(), Stop> {
        let next = self.path.with_extension("next");
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)?;
        file.write_all(format!("{password}\n").as_bytes())?;
        Ok(fs::rename(&next, &self.path)?)
    }

    /// Whether one of its passwords, of any time, stands in a text.
    pub(super) fn is_told_in(&self, text: &str) -> bool {
        self.passwords.finds_secret_in(text)
    }
}
