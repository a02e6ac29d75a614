//! An initialised Postgres data directory, made once and copied for each server.
//!
//! `initdb` takes half a second, a copy a tenth of it. The copy is a real one: with hard links a
//! running server would change the template.

use super::process::Privileges;
use super::tools::Tools;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The superuser of every store that we make.
pub const SUPERUSER: &str = "touchstone";
/// Its password in the template. Each server gets another before anyone else may connect.
pub(super) const TEMPLATE_PASSWORD: &str = "touchstone-template";

/// Raised when the options of `initdb` below change, so that old templates are not used.
const LAYOUT: u32 = 1;

/// Why there is no template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A file operation failed.
    #[error("cannot make the Postgres template in {}", .path.display())]
    Files {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program failed.
    #[error("`{program}` failed: {output}")]
    Program {
        /// Which.
        program: &'static str,
        /// What it printed.
        output: String,
    },
}

/// Copies the cached template to `target`, making the template first if there is none.
///
/// `scratch` is a directory of this run on which the store's user may search.
pub(super) fn copy_to(
    target: &Path,
    scratch: &Path,
    tools: &Tools,
    privileges: &Privileges,
) -> Result<(), TemplateError> {
    let cached = cache_dir().join(name(tools));
    if !is_usable(&cached, privileges) {
        make(&cached, scratch, tools, privileges)?;
    }
    copy(&cached, target, scratch)
}

fn name(tools: &Tools) -> String {
    let mut hasher = DefaultHasher::new();
    tools.initdb.hash(&mut hasher);
    // An upgraded package is another file at the same path.
    if let Ok(meta) = fs::metadata(&tools.initdb) {
        (meta.ino(), meta.mtime(), meta.len()).hash(&mut hasher);
    }
    format!("postgres-template-{LAYOUT}-{:016x}", hasher.finish())
}

/// Copies of a template that a killed run left half made: their names end in the id of a dead process.
pub(crate) fn half_made() -> Vec<PathBuf> {
    let is_dead = |name: &str| {
        let pid = name.rsplit_once('.').map(|(_, rest)| rest);
        pid.and_then(|pid| pid.trim_end_matches("-old").parse().ok())
            .is_some_and(|pid: i32| crate::process_tree::look(pid).is_none())
    };
    let entries = fs::read_dir(cache_dir()).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(is_dead)
        })
        .collect()
}

fn cache_dir() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home);
    base.unwrap_or_else(std::env::temp_dir).join("touchstone")
}

/// Complete, and owned by the user that the server will run as (a copy keeps the owner).
fn is_usable(template: &Path, privileges: &Privileges) -> bool {
    let owner = fs::metadata(template.join("PG_VERSION")).map(|meta| meta.uid());
    owner.is_ok_and(|uid| uid == privileges.uid())
}

fn make(
    cached: &Path,
    scratch: &Path,
    tools: &Tools,
    privileges: &Privileges,
) -> Result<(), TemplateError> {
    let files = |path: &Path| {
        let path = path.to_owned();
        move |source| TemplateError::Files { path, source }
    };
    let work = scratch.join(format!("template-{:?}", std::thread::current().id()));
    fs::create_dir_all(&work).map_err(files(&work))?;
    privileges.give(&work).map_err(files(&work))?;
    let password_file = work.join("password");
    fs::write(&password_file, TEMPLATE_PASSWORD).map_err(files(&password_file))?;
    fs::set_permissions(&password_file, fs::Permissions::from_mode(0o644)).map_err(files(&work))?;
    let data = work.join("data");
    let mut initdb = privileges.command(&tools.initdb);
    initdb
        .arg("-D")
        .arg(&data)
        .args(["-U", SUPERUSER, "--auth=scram-sha-256", "--no-sync"]);
    initdb.args([
        "-E",
        "UTF8",
        "--locale=C",
        "--wal-segsize=1",
        "--no-instructions",
    ]);
    initdb
        .arg("--pwfile")
        .arg(&password_file)
        .current_dir(&work)
        .process_group(0);
    check("initdb", initdb.output().map_err(files(&tools.initdb))?)?;
    let parent = cached.parent().expect("the cached template has a parent");
    fs::create_dir_all(parent).map_err(files(parent))?;
    // Copied beside its place, then renamed: a parallel run sees a whole template or none.
    let staged = cached.with_extension(format!("{}", std::process::id()));
    copy(&data, &staged, scratch)?;
    if fs::rename(&staged, cached).is_err() {
        // Another run was faster, or an unusable template is in the way.
        let spare = cached.with_extension(format!("{}-old", std::process::id()));
        let _ = fs::rename(cached, &spare);
        let renamed = fs::rename(&staged, cached).map_err(files(cached));
        let _ = fs::remove_dir_all(&spare);
        renamed?;
    }
    fs::remove_dir_all(&work).map_err(files(&work))
}

/// `cp` keeps owners, modes and times, and clones blocks where the file system can.
///
/// Like `initdb` it works inside `scratch`, where the reaper looks for processes, and in a process
/// group of its own, so that a Ctrl-C on the terminal reaches us alone and is no failure of a tool.
fn copy(from: &Path, to: &Path, scratch: &Path) -> Result<(), TemplateError> {
    let mut cp = Command::new("cp");
    cp.args(["-a", "--reflink=auto", "--"]).arg(from).arg(to);
    cp.current_dir(scratch).process_group(0);
    let output = cp.output().map_err(|source| TemplateError::Files {
        path: to.to_owned(),
        source,
    })?;
    check("cp", output)
}

fn check(program: &'static str, output: Output) -> Result<(), TemplateError> {
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stderr, output.stdout].concat();
    Err(TemplateError::Program {
        program,
        output: String::from_utf8_lossy(&text).trim().to_owned(),
    })
}
