//! What runs that died left behind, and its removal.
//!
//! The reaper cleans up after a killed run at once; this is for what it could not do, for instance
//! because it was killed too. Only what a dead run provably owns is removed: a living owner's things
//! are in use, and what was kept on purpose, or names no owner, is left to the person who asks.

mod find;
mod remove;

pub use find::{find, find_dead_directories};
pub use remove::remove;

use crate::kept;
use crate::store::docker;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Whether the process that started a run still lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Nothing that was found names it.
    Unknown,
    /// It is gone.
    Dead,
    /// It may be gone: what it started was kept on purpose.
    Kept,
    /// It lives, and has this process id.
    Alive(i32),
}

/// A process of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftProcess {
    /// Its id.
    pub pid: i32,
    /// With the id it names the process for ever.
    pub start_ticks: u64,
    /// What it is, for people.
    pub name: String,
    /// Whether it works inside the private directory, as the stores do: then it is asked to end before
    /// it is killed, or Postgres would leave its shared memory behind.
    pub(crate) is_store: bool,
}

/// What there is of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftRun {
    /// Its id; for half-made templates, which no run names, a word of ours.
    pub run_id: String,
    /// Its owner.
    pub owner: Owner,
    /// Its private directory, and other paths that are its own.
    pub paths: Vec<PathBuf>,
    /// Its processes.
    pub processes: Vec<LeftProcess>,
    /// Its containers, by id.
    pub containers: Vec<String>,
}

impl LeftRun {
    fn new(run_id: &str) -> Self {
        Self {
            run_id: run_id.to_owned(),
            owner: Owner::Unknown,
            paths: Vec::new(),
            processes: Vec::new(),
            containers: Vec::new(),
        }
    }

    /// Whether nothing runs any more of what was kept, as after a restart of the machine. Containers count as running
    /// unless they were looked for, or the stores were none.
    pub fn is_deserted(&self, saw_containers: bool) -> bool {
        let kept = self.paths.iter().find_map(|dir| kept::read(dir));
        let has_none = saw_containers || kept.is_some_and(|kept| kept.provider == "process");
        self.owner == Owner::Kept
            && self.processes.is_empty()
            && self.containers.is_empty()
            && has_none
    }

    /// Each thing in a few words.
    pub fn things(&self) -> Vec<String> {
        let paths = self
            .paths
            .iter()
            .map(|path| format!("directory {}", path.display()));
        let processes = self.processes.iter().map(LeftProcess::to_string);
        let containers = self
            .containers
            .iter()
            .map(|id| format!("container {}", short(id)));
        processes.chain(containers).chain(paths).collect()
    }
}

impl fmt::Display for LeftProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.name)
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Adds the containers to what was found, if an engine answers.
pub async fn add_containers(runs: &mut Vec<LeftRun>) -> Result<(), docker::Why> {
    docker::engine_answers().await?;
    let mut by_id: BTreeMap<String, LeftRun> = runs
        .drain(..)
        .map(|run| (run.run_id.clone(), run))
        .collect();
    for container in docker::list_owned().await? {
        let run = by_id
            .entry(container.run_id.clone())
            .or_insert_with(|| LeftRun::new(&container.run_id));
        run.owner = run.owner.max(find::owner_of(&container.owner));
        run.containers.push(container.id);
    }
    runs.extend(by_id.into_values());
    Ok(())
}

/// Removes what dead runs left in these directories, with their processes and containers. Cheap when
/// there is nothing: then it only looks at the names in the directories. Returns what it removed.
pub async fn sweep_dead(bases: &[PathBuf]) -> Vec<LeftRun> {
    let dead = find_dead_directories(bases);
    if dead.is_empty() {
        return Vec::new();
    }
    let mut runs = find(bases);
    // Without an engine there are no containers.
    let _ = add_containers(&mut runs).await;
    let was_seen = |run: &LeftRun| dead.iter().any(|seen| seen.run_id == run.run_id);
    runs.retain(|run| run.owner == Owner::Dead && was_seen(run));
    for run in &runs {
        for problem in remove(run).await {
            tracing::warn!("the dead run {} left something: {problem}", run.run_id);
        }
    }
    runs
}
