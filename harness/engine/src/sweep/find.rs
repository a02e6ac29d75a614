//! Looking for what belongs to runs: in the directories where private ones lie, and among all processes.

use super::{LeftProcess, LeftRun, Owner};
use crate::process_tree::{self, ProcessSeen};
use crate::reaper::{OWNER_MARKER, RUN_MARKER};
use crate::scope::{DIR_PREFIX, KEPT, OWNER_FILE, owner_lives, parse_identity};
use crate::store::half_made;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What the kernel adds to a working directory that was removed.
const DELETED: &str = " (deleted)";

/// Everything that can be seen of any run: private directories in `bases`, and processes.
pub fn find(bases: &[PathBuf]) -> Vec<LeftRun> {
    let mut runs: BTreeMap<String, LeftRun> = BTreeMap::new();
    for run in directories(bases) {
        runs.insert(run.run_id.clone(), run);
    }
    let own_pid = i32::try_from(std::process::id()).expect("process ids fit in 31 bits");
    for process in process_tree::all() {
        if process.state == 'Z' || process.pid == own_pid {
            continue;
        }
        let Some(mark) = mark_of(&process, bases) else {
            continue;
        };
        let run = runs
            .entry(mark.run_id.clone())
            .or_insert_with(|| LeftRun::new(&mark.run_id));
        run.owner = run.owner.max(mark.owner);
        run.processes.push(LeftProcess {
            pid: process.pid,
            start_ticks: process.start_ticks,
            name: process_tree::name(process.pid),
            is_store: mark.is_store,
        });
    }
    let templates = half_made();
    if !templates.is_empty() {
        let mut run = LeftRun::new("half-made templates");
        (run.owner, run.paths) = (Owner::Dead, templates);
        runs.insert(run.run_id.clone(), run);
    }
    runs.into_values().collect()
}

/// The private directories in `bases` whose owner is dead.
pub fn find_dead_directories(bases: &[PathBuf]) -> Vec<LeftRun> {
    let mut found = directories(bases);
    found.retain(|run| run.owner == Owner::Dead);
    found
}

/// What an owner's identity says of it.
pub(super) fn owner_of(identity: &str) -> Owner {
    match parse_identity(identity) {
        None if identity.trim() == KEPT => Owner::Kept,
        None => Owner::Unknown,
        Some((pid, _)) if owner_lives(identity) => Owner::Alive(pid),
        Some(_) => Owner::Dead,
    }
}

fn directories(bases: &[PathBuf]) -> Vec<LeftRun> {
    let mut found: Vec<LeftRun> = Vec::new();
    for base in bases {
        let entries = fs::read_dir(base).into_iter().flatten().flatten();
        // A link that somebody has put there is none of ours.
        let own = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        for entry in own {
            let name = entry.file_name();
            let Some(run_id) = name.to_str().and_then(|name| name.strip_prefix(DIR_PREFIX)) else {
                continue;
            };
            let path = entry.path();
            // The bases may be one directory under two names.
            if found.iter().any(|run| run.run_id == run_id) {
                continue;
            }
            let mut run = LeftRun::new(run_id);
            run.owner = owner_in(&path);
            run.paths.push(path);
            found.push(run);
        }
    }
    found
}

fn owner_in(private_dir: &Path) -> Owner {
    let identity = fs::read_to_string(private_dir.join(OWNER_FILE));
    identity.map_or(Owner::Unknown, |identity| owner_of(&identity))
}

/// What shows that a process belongs to a run.
struct Mark {
    run_id: String,
    owner: Owner,
    is_store: bool,
}

fn mark_of(process: &ProcessSeen, bases: &[PathBuf]) -> Option<Mark> {
    let by_directory = mark_by_directory(process.pid, bases);
    let by_environment = mark_by_environment(process.pid);
    match (by_directory, by_environment) {
        // A Postgres session has its title written over its environment: then only the directory tells.
        (Some(directory), None) => Some(directory),
        (None, by_environment) => by_environment,
        (Some(directory), Some(environment)) => Some(Mark {
            owner: directory.owner.max(environment.owner),
            ..directory
        }),
    }
}

fn mark_by_environment(pid: i32) -> Option<Mark> {
    // Another user's processes cannot be read, nor could they be ended.
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment);
    let value = |name: &str| {
        environment
            .split('\0')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    };
    let run_id = value(RUN_MARKER).filter(|id| !id.is_empty())?;
    Some(Mark {
        run_id: run_id.to_owned(),
        owner: value(OWNER_MARKER).map_or(Owner::Unknown, owner_of),
        is_store: false,
    })
}

fn mark_by_directory(pid: i32, bases: &[PathBuf]) -> Option<Mark> {
    let seen = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    let seen = seen.to_str()?;
    let (path, is_deleted) = match seen.strip_suffix(DELETED) {
        Some(path) => (Path::new(path), true),
        None => (Path::new(seen), false),
    };
    path.ancestors().find_map(|dir| {
        let run_id = dir.file_name()?.to_str()?.strip_prefix(DIR_PREFIX)?;
        // Somebody's own directory may have such a name: an owner file, or one of the places where
        // only we make such directories, shows that this is none of them.
        let owner = match owner_in(dir) {
            Owner::Unknown if is_deleted && !dir.exists() && is_in(dir, bases) => Owner::Dead,
            Owner::Unknown => return None,
            known => known,
        };
        Some(Mark {
            run_id: run_id.to_owned(),
            owner,
            is_store: true,
        })
    })
}

fn is_in(dir: &Path, bases: &[PathBuf]) -> bool {
    let parent = dir.parent();
    bases.iter().any(|base| {
        parent == Some(base) || base.canonicalize().is_ok_and(|base| parent == Some(&base))
    })
}
