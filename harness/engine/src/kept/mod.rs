//! Stores that outlive the command that started them: those of `touchstone env up`, and those of scenarios that
//! failed under `--keep-on-fail`.
//!
//! What there is of them stands in a file in their private directory, readable for their user alone, since it holds
//! the passwords. Nothing watches over them: [`crate::sweep`] removes them when it is asked to.

mod keeper;
mod pair;
mod up;

pub use keeper::{KEPT_MAX, Keeper};
pub use pair::{Endpoint, Pair, Serving};
pub use up::{RUN_ID_PREFIX, Started, start};

use crate::environment::EnvironmentError;
use crate::scope::{DIR_PREFIX, RunScope};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file in a private directory that says what of it was kept.
const FILE: &str = "kept.json";

/// Why something could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The stores, or what they are to hold.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The file cannot be written.
    #[error("cannot note what is kept in {}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Pairs of stores of one origin. They are removed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What it is called; after a run, the run's id.
    pub name: String,
    /// What its processes and containers are marked with.
    pub run_id: String,
    /// Where the stores came from: `process` or `docker`.
    pub provider: String,
    /// Since when, UTC.
    pub since: Timestamp,
    /// The pairs: one of `env up`, one a scenario of a run.
    pub pairs: Vec<Pair>,
    /// Where it lies; not a part of the file.
    #[serde(skip)]
    pub dir: PathBuf,
}

impl Kept {
    /// Writes the file, in one step.
    fn write(&self) -> Result<(), KeptError> {
        let path = self.dir.join(FILE);
        let staged = self.dir.join(format!("{FILE}.new"));
        let written = || {
            let mut file = File::options()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&staged)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            fs::rename(&staged, &path)
        };
        written().map_err(|source| KeptError::File { path, source })
    }

    fn new(name: &str, provider: &str, scope: &RunScope) -> Self {
        Self {
            name: name.to_owned(),
            run_id: scope.run_id().to_owned(),
            provider: provider.to_owned(),
            since: Timestamp::now(),
            pairs: Vec::new(),
            dir: scope.dir().to_owned(),
        }
    }
}

/// What is kept in these directories, by name. A file that cannot be read, as that of another user, is passed over.
pub fn list(bases: &[PathBuf]) -> Vec<Kept> {
    let mut found: Vec<Kept> = Vec::new();
    for base in bases {
        for entry in fs::read_dir(base).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_private = name
                .to_str()
                .is_some_and(|name| name.starts_with(DIR_PREFIX));
            let kept = is_private.then(|| read(&entry.path())).flatten();
            // The bases may be one directory under two names.
            found.extend(kept.filter(|kept| found.iter().all(|known| known.run_id != kept.run_id)));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// What is kept in a private directory.
pub fn read(dir: &Path) -> Option<Kept> {
    let text = fs::read_to_string(dir.join(FILE)).ok()?;
    let mut kept: Kept = serde_json::from_str(&text).ok()?;
    kept.dir = dir.to_owned();
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_kept_is_found_again_and_its_passwords_are_for_its_user_alone() {
        let base = tempfile::tempdir().expect("a directory");
        let dir = base.path().join(format!("{DIR_PREFIX}env-shop"));
        fs::create_dir(&dir).expect("a directory");
        fs::create_dir(base.path().join(format!("{DIR_PREFIX}a-run"))).expect("a directory");
        let endpoint = Endpoint {
            address: "127.0.0.1:6399".parse().expect("an address"),
            user: "default".to_owned(),
            password: "s3cret".to_owned(),
            database: "0".to_owned(),
        };
        let kept = Kept {
            name: "shop".to_owned(),
            run_id: "env-shop".to_owned(),
            provider: "process".to_owned(),
            since: Timestamp::now(),
            pairs: vec![Pair {
                of: "shop".to_owned(),
                redis: endpoint.clone(),
                postgres: endpoint,
            }],
            dir: dir.clone(),
        };
        kept.write().expect("written");
        assert_eq!(
            list(&[base.path().to_owned(), base.path().to_owned()]),
            [kept]
        );
        let mode = fs::metadata(dir.join(FILE))
            .expect("its mode")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }
}
