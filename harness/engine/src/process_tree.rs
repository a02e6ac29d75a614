//! Signals to whole process trees, and their states read back from the kernel.
//!
//! Postgres makes each of its children a session leader, so that a signal to the process group misses
//! them: freezing or killing the server means walking the tree.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::Duration;

/// A process as `/proc/<pid>/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessSeen {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// The state letter: `R`, `S`, `D`, `T` (stopped), `Z` (zombie), ...
    pub state: char,
    /// Clock ticks after boot at which it started; with the pid it names a process for ever.
    pub start_ticks: u64,
}

/// Reads one process; `None` when it is gone.
pub fn look(pid: i32) -> Option<ProcessSeen> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may itself hold spaces and parentheses.
    let after_name = &stat[stat.rfind(')')? + 2..];
    let fields: Vec<&str> = after_name.split(' ').collect();
    Some(ProcessSeen {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        state: fields.first()?.chars().next()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// The name of a process, for people; empty when it is gone.
pub fn name(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

/// Every process of this machine that can be seen.
pub fn all() -> Vec<ProcessSeen> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(look)
        .collect()
}

/// The process and all its descendants, parents before children. Zombies are left out: PID 1 of a
/// container may never reap them, and a dead process needs no signal.
pub fn tree(root: i32) -> Vec<ProcessSeen> {
    let mut children: HashMap<i32, Vec<ProcessSeen>> = HashMap::new();
    for process in all() {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found: Vec<ProcessSeen> = look(root).into_iter().collect();
    let mut next = 0;
    while next < found.len() {
        let pid = found[next].pid;
        found.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    found.retain(|process| process.state != 'Z');
    found
}

/// How long each thread of the process and of its descendants has waited for a processor since it began, by
/// thread id. Without a walk through all processes, so that it may be asked often.
pub fn waited_for_processor(root: i32) -> Vec<(i32, Duration)> {
    let mut found = Vec::new();
    for_each_thread(root, |path, thread| {
        // Gone meanwhile, or a kernel that does not count: nothing to tell.
        let figures = fs::read_to_string(format!("{path}/schedstat")).unwrap_or_default();
        let waited_ns = figures.split(' ').nth(1).and_then(|ns| ns.parse().ok());
        found.extend(waited_ns.map(|ns| (thread, Duration::from_nanos(ns))));
    });
    found
}

/// Threads of the process and of its descendants that run, or would if they had a processor.
pub fn runnable_threads(root: i32) -> Vec<i32> {
    let mut found = Vec::new();
    for_each_thread(root, |path, thread| {
        let stat = fs::read_to_string(format!("{path}/stat")).unwrap_or_default();
        let state = stat.rfind(')').and_then(|end| stat.get(end + 2..=end + 2));
        if state == Some("R") {
            found.push(thread);
        }
    });
    found
}

fn for_each_thread(root: i32, mut look: impl FnMut(&str, i32)) {
    let mut processes = vec![root];
    while let Some(pid) = processes.pop() {
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        let id = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
        for thread in entries.flatten().filter_map(id) {
            let path = format!("/proc/{pid}/task/{thread}");
            look(&path, thread);
            let children = fs::read_to_string(format!("{path}/children")).unwrap_or_default();
            processes.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<i32>().ok()),
            );
        }
    }
}

/// Living processes that were started with all these `NAME=VALUE` pairs in their environment. Another
/// user's processes cannot be read, nor could they be signalled.
pub fn with_environment(pairs: &[String]) -> Vec<ProcessSeen> {
    let has_all = |pid: i32| {
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else {
            return false;
        };
        let has = |pair: &String| {
            environment
                .split(|byte| *byte == 0)
                .any(|own| own == pair.as_bytes())
        };
        pairs.iter().all(has)
    };
    let mut found = all();
    found.retain(|process| process.state != 'Z' && has_all(process.pid));
    found
}

/// Sends a signal to one process. One that is gone already is no error.
pub fn signal(pid: i32, signal: Signal) -> io::Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Sends a signal to the whole tree, parents first: a stopped parent cannot fork meanwhile. Repeats
/// until a look finds no process that has not had it.
pub fn signal_tree(root: i32, which: Signal) -> io::Result<()> {
    let mut done: Vec<(i32, u64)> = Vec::new();
    loop {
        let fresh: Vec<ProcessSeen> = tree(root)
            .into_iter()
            .filter(|process| !done.contains(&(process.pid, process.start_ticks)))
            .collect();
        if fresh.is_empty() {
            return Ok(());
        }
        for process in fresh {
            signal(process.pid, which)?;
            done.push((process.pid, process.start_ticks));
        }
    }
}

/// Whether every process of the tree is stopped by a signal.
pub fn is_frozen(root: i32) -> bool {
    let processes = tree(root);
    !processes.is_empty() && processes.iter().all(|process| process.state == 'T')
}

/// Whether the process that had this id and start time is still there and no zombie.
pub fn is_alive(pid: i32, start_ticks: u64) -> bool {
    look(pid).is_some_and(|seen| seen.start_ticks == start_ticks && seen.state != 'Z')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_child_of_a_child_in_a_session_of_its_own_is_frozen_and_killed_too() {
        let mut child = Command::new("sh")
            .args(["-c", "setsid sleep 60 & wait"])
            .stdout(Stdio::null())
            .spawn()
            .expect("sh starts");
        let root = i32::try_from(child.id()).expect("pid");
        let start = std::time::Instant::now();
        while tree(root).len() < 2 {
            assert!(start.elapsed().as_secs() < 5, "last seen: {:?}", tree(root));
            std::thread::yield_now();
        }
        let members = tree(root);
        signal_tree(root, Signal::SIGSTOP).expect("freeze");
        while !is_frozen(root) {
            assert!(start.elapsed().as_secs() < 5, "last seen: {:?}", tree(root));
            std::thread::yield_now();
        }
        signal_tree(root, Signal::SIGKILL).expect("kill");
        child.wait().expect("reap");
        while members
            .iter()
            .any(|member| is_alive(member.pid, member.start_ticks))
        {
            assert!(start.elapsed().as_secs() < 5, "still alive of {members:?}");
            std::thread::yield_now();
        }
    }
}
