//! Which core does what: the load on one, the server side on another.

use crate::BenchError;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::Serialize;
use std::time::Duration;

/// The two cores of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cores {
    /// The load generator's, which spins on it.
    pub load: usize,
    /// The proxies' and Redis'. They share one, so that what a proxy adds is its work and its context switches, not the
    /// wake-up of a sleeping core, and so that a proxy's work is taken from the throughput.
    pub server: usize,
}

impl Cores {
    /// The first and the last that this process may use: the same one if there is only one.
    pub(crate) fn choose() -> Result<Self, BenchError> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).map_err(BenchError::Pinning)?;
        let mut cores =
            (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or_default());
        let load = cores.next().unwrap_or_default();
        let server = cores.next_back().unwrap_or(load);
        Ok(Self { load, server })
    }

    /// Whether load and servers take each other's time.
    pub(super) fn are_one(self) -> bool {
        self.load == self.server
    }
}

/// Pins the calling thread, and every thread that it starts from now on.
pub(crate) fn pin_this_thread(core: usize) -> Result<(), BenchError> {
    pin(Pid::from_raw(0), core)
}

/// Pins every thread of a process.
pub(crate) fn pin_process(process: u32, core: usize) -> Result<(), BenchError> {
    for thread in threads(process) {
        pin(Pid::from_raw(thread), core)?;
    }
    Ok(())
}

/// What all threads of a process have spent on a processor; `None` if the kernel does not tell.
pub(crate) fn cpu_time(process: u32) -> Option<Duration> {
    let spent = |thread| {
        let path = format!("/proc/{process}/task/{thread}/schedstat");
        let text = std::fs::read_to_string(path).ok()?;
        text.split(' ')
            .next()?
            .parse()
            .ok()
            .map(Duration::from_nanos)
    };
    threads(process).into_iter().map(spent).sum()
}

fn pin(thread: Pid, core: usize) -> Result<(), BenchError> {
    let mut set = CpuSet::new();
    set.set(core).map_err(BenchError::Pinning)?;
    sched_setaffinity(thread, &set).map_err(BenchError::Pinning)
}

fn threads(process: u32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect()
}
