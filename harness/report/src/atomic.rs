//! Files that a reader sees whole or not at all.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Replaces a file's content in one step: a reader, and a run that is killed midway, find the old
/// content or the new one. Not synced to disk: it guards against our death, not the machine's.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = beside(path);
    fs::write(&temporary, content)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
}

/// Points a symbolic link at a new target in one step.
pub(crate) fn link(target: &Path, path: &Path) -> io::Result<()> {
    let temporary = beside(path);
    // What an earlier process of the same id may have left when it was killed here.
    let _ = fs::remove_file(&temporary);
    symlink(target, &temporary)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })
}

/// A name in the same directory (a rename must not cross file systems) that no other process uses.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_write_replaces_the_content_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        write(&path, b"old and long").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names_in(folder.path()), ["record.json"]);
    }

    #[test]
    fn a_failed_write_keeps_what_was_there_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"new").is_err());
        assert_eq!(names_in(folder.path()), ["taken"]);
    }

    #[test]
    fn a_link_moves_to_its_new_target() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latest");
        link(Path::new("first"), &path).unwrap();
        link(Path::new("second"), &path).unwrap();
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("second"));
        assert_eq!(names_in(folder.path()), ["latest"]);
    }
}
