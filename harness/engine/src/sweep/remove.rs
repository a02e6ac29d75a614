//! Removing what a dead run left: processes first, since they hold the rest.

use super::{LeftProcess, LeftRun, Owner, short};
use crate::poll::{Look, poll_until};
use crate::process_tree;
use crate::scope::remove_private_dir;
use crate::store::docker;
use nix::sys::signal::Signal;
use std::path::Path;
use std::time::Duration;

/// How long a store may take to give back what it holds before it is killed.
const ASK_DEADLINE: Duration = Duration::from_millis(300);
/// How long the kernel may take to end a killed process.
const KILL_DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// Removes all of it and looks whether it is gone. Returns what is not, and why.
///
/// Never called for a living owner's run by this crate; the assertion keeps it so.
pub async fn remove(run: &LeftRun) -> Vec<String> {
    assert!(
        !matches!(run.owner, Owner::Alive(_)),
        "the run {} is in use",
        run.run_id
    );
    let mut problems = end_processes(&run.processes).await;
    if !run.containers.is_empty() {
        let removed = docker::remove_by_label(&run.run_id).await;
        let named = |why| {
            let ids: Vec<&str> = run.containers.iter().map(|id| short(id)).collect();
            format!("containers {}: {why}", ids.join(", "))
        };
        problems.extend(removed.err().map(named));
    }
    problems.extend(run.paths.iter().filter_map(|path| remove_path(path).err()));
    problems
}

fn remove_path(path: &Path) -> Result<(), String> {
    // The reaper of the same run may be at it, too: what it removes first is gone all the same.
    match remove_private_dir(path) {
        Err(_) if !path.exists() => Ok(()),
        Err(error) => Err(format!("directory {}: {error}", path.display())),
        Ok(()) => Ok(()),
    }
}

async fn end_processes(processes: &[LeftProcess]) -> Vec<String> {
    let stores: Vec<&LeftProcess> = processes.iter().filter(|p| p.is_store).collect();
    for store in &stores {
        // Immediate shutdown; CONT because some are frozen. Errors show below as processes that live.
        let _ = signal(store, Signal::SIGQUIT).and_then(|()| signal(store, Signal::SIGCONT));
    }
    wait_gone(&stores, ASK_DEADLINE).await;
    let all: Vec<&LeftProcess> = processes.iter().collect();
    let refused: Vec<Option<std::io::Error>> = all
        .iter()
        .map(|process| signal(process, Signal::SIGKILL).err())
        .collect();
    wait_gone(&all, KILL_DEADLINE).await;
    let left = all
        .iter()
        .zip(refused)
        .filter(|(process, _)| lives(process));
    left.map(|(process, refused)| match refused {
        Some(error) => format!("{process}: cannot be ended: {error}"),
        None => format!(
            "{process}: still there {} s after SIGKILL",
            KILL_DEADLINE.as_secs()
        ),
    })
    .collect()
}

async fn wait_gone(processes: &[&LeftProcess], deadline: Duration) {
    let gone = || async {
        match processes.iter().find(|process| lives(process)) {
            Some(process) => Look::NotYet(process.to_string()),
            None => Look::Ready(()),
        }
    };
    // Whoever is left then is told of, or killed, by the caller.
    let _ = poll_until("the processes to end", deadline, POLL, gone).await;
}

fn lives(process: &LeftProcess) -> bool {
    process_tree::is_alive(process.pid, process.start_ticks)
}

/// Only to the very process that was found: its id may have another owner by now.
fn signal(process: &LeftProcess, which: Signal) -> std::io::Result<()> {
    if lives(process) {
        process_tree::signal(process.pid, which)
    } else {
        Ok(())
    }
}
