//! The scope of one run: its id, its private directory, and the reaper that guards both.

use crate::process_tree;
use crate::reaper::Reaper;
use crate::tls::{Authority, AuthorityError};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a run's private directory is called, before the run id.
pub const DIR_PREFIX: &str = "touchstone-";
/// The file in it that names the owning process as `pid:start_ticks`, or says [`KEPT`].
pub const OWNER_FILE: &str = "owner";
/// Stands where an owner would: nobody's process has to live, since this was kept on purpose.
pub const KEPT: &str = "kept";

/// Stores that are small and short-lived do well in memory, if there is room for this much.
pub const MEMORY_NEEDED_BYTES: u64 = 512 * 1024 * 1024;

/// Why a run could not get its private directory.
#[derive(Debug, thiserror::Error)]
pub enum ScopeError {
    /// Neither memory nor the temporary directory can be written.
    #[error("cannot create a private directory in {}; set TMPDIR to one that can be written", .path.display())]
    Directory {
        /// Where it was tried.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// `sh` could not be started.
    #[error("cannot start the reaper (`sh` must be on the PATH)")]
    Reaper(#[source] io::Error),
}

/// One run: everything that it starts carries its id, everything that it writes lies in its directory.
/// Dropping it removes the directory, unless it was kept.
#[derive(Debug)]
pub struct RunScope {
    run_id: String,
    dir: PathBuf,
    authority: Mutex<Option<Arc<Authority>>>,
    owner: String,
    is_kept: AtomicBool,
    _reaper: Reaper,
}

impl RunScope {
    /// Makes the private directory and starts the reaper.
    pub fn create(run_id: &str, with_docker: bool) -> Result<Self, ScopeError> {
        Self::owned_by(own_identity(), run_id, with_docker)
    }

    /// The same for what is meant to outlive us: containers and processes carry [`KEPT`] from their start, since
    /// a label cannot be changed later. Until [`RunScope::keep`] all of it goes with us all the same.
    pub fn create_to_keep(run_id: &str, with_docker: bool) -> Result<Self, ScopeError> {
        Self::owned_by(KEPT.to_owned(), run_id, with_docker)
    }

    fn owned_by(owner: String, run_id: &str, with_docker: bool) -> Result<Self, ScopeError> {
        let base = base_dirs().into_iter().find(|base| has_room(base));
        let base = base.unwrap_or_else(std::env::temp_dir);
        let dir = base.join(format!("{DIR_PREFIX}{run_id}"));
        let failed = |source| ScopeError::Directory {
            path: dir.clone(),
            source,
        };
        // Searchable, not readable: Postgres runs as another user when we are root.
        fs::DirBuilder::new()
            .mode(0o711)
            .create(&dir)
            .map_err(failed)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o711)).map_err(failed)?;
        fs::write(dir.join(OWNER_FILE), own_identity()).map_err(failed)?;
        let reaper = Reaper::start(run_id, &dir, with_docker).map_err(ScopeError::Reaper)?;
        Ok(Self {
            run_id: run_id.to_owned(),
            dir,
            authority: Mutex::default(),
            owner,
            is_kept: AtomicBool::new(false),
            _reaper: reaper,
        })
    }

    /// What names the owner in everything that is started.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// From now on the private directory, and what runs in it, stays when we end. A reaper that has to act, because
    /// we are killed before, removes it all the same.
    pub fn keep(&self) {
        self.is_kept.store(true, Ordering::SeqCst);
    }

    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::SeqCst)
    }

    /// The run's id.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The private directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The run's certificate authority, made when it is first asked for.
    pub fn authority(&self) -> Result<Arc<Authority>, AuthorityError> {
        let mut slot = self
            .authority
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*slot {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(Authority::create(&self.dir.join("tls"))?);
        Ok(Arc::clone(slot.insert(made)))
    }

    /// Makes a directory inside the private one, searchable for the stores' user.
    pub fn make_dir(&self, name: &str) -> Result<PathBuf, ScopeError> {
        let path = self.dir.join(name);
        let failed = |source| ScopeError::Directory {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(&path).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o711)).map_err(failed)?;
        Ok(path)
    }
}

impl Drop for RunScope {
    fn drop(&mut self) {
        // What is left behind here, or named with a dead owner, is found by the next sweep.
        let _ = match self.is_kept() {
            true => fs::write(self.dir.join(OWNER_FILE), KEPT),
            false => remove_private_dir(&self.dir),
        };
    }
}

/// Removes a private directory, the owner file last: what an interrupted removal leaves must still
/// name its owner, or no sweep could tell it from a directory of somebody else.
pub fn remove_private_dir(dir: &Path) -> io::Result<()> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return gone(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == OWNER_FILE {
            continue;
        }
        let removed = if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        removed.or_else(gone)?;
    }
    fs::remove_file(dir.join(OWNER_FILE)).or_else(gone)?;
    fs::remove_dir(dir).or_else(gone)
}

/// This process as `pid:start_ticks`, which no later process can be mistaken for.
pub fn own_identity() -> String {
    let pid = i32::try_from(std::process::id()).expect("process ids fit in 31 bits");
    let start_ticks = process_tree::look(pid).map_or(0, |seen| seen.start_ticks);
    format!("{pid}:{start_ticks}")
}

/// Whether the process named by [`own_identity`]'s text still lives.
pub fn owner_lives(identity: &str) -> bool {
    parse_identity(identity).is_some_and(|(pid, ticks)| process_tree::is_alive(pid, ticks))
}

/// The process id and the start time in [`own_identity`]'s text.
pub(crate) fn parse_identity(identity: &str) -> Option<(i32, u64)> {
    let (pid, ticks) = identity.trim().split_once(':')?;
    Some((pid.parse().ok()?, ticks.parse().ok()?))
}

/// Where private directories may lie: memory first, then the temporary directory.
pub fn base_dirs() -> Vec<PathBuf> {
    let mut dirs = vec![PathBuf::from("/dev/shm"), std::env::temp_dir()];
    if std::env::var_os("TMPDIR").is_some() {
        dirs.reverse(); // Asked for by name: that wins.
    }
    dirs
}

fn has_room(dir: &Path) -> bool {
    free_bytes(dir) >= MEMORY_NEEDED_BYTES
}

/// How much can be written into a directory; nothing into one that is not ours to write.
pub fn free_bytes(dir: &Path) -> u64 {
    if nix::unistd::access(dir, nix::unistd::AccessFlags::W_OK).is_err() {
        return 0;
    }
    nix::sys::statvfs::statvfs(dir)
        .map(|stat| stat.blocks_available() * stat.fragment_size())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_names_its_owner_and_goes_with_the_scope() {
        let scope =
            RunScope::create(&format!("test-{}", std::process::id()), false).expect("scope");
        let dir = scope.dir().to_owned();
        let owner = fs::read_to_string(dir.join(OWNER_FILE)).expect("owner file");
        assert!(owner_lives(&owner), "{owner}");
        assert!(!owner_lives("1:1"));
        drop(scope);
        assert!(!dir.exists());
    }

    #[test]
    fn a_directory_that_is_kept_stays_and_names_no_process_any_more() {
        let run_id = format!("test-kept-{}", std::process::id());
        let scope = RunScope::create_to_keep(&run_id, false).expect("scope");
        let dir = scope.dir().to_owned();
        let owner = fs::read_to_string(dir.join(OWNER_FILE)).expect("owner file");
        assert!(owner_lives(&owner), "until then it is ours: {owner}");
        scope.keep();
        drop(scope);
        let owner = fs::read_to_string(dir.join(OWNER_FILE)).expect("owner file");
        assert_eq!(owner, KEPT);
        remove_private_dir(&dir).expect("it can be removed");
    }
}
