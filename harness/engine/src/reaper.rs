//! A small child that outlives us by a moment: when the harness is killed, it ends what the harness
//! had started.
//!
//! It is a shell script on a pipe, not a second mode of the binary, so that tests and benchmarks,
//! which are other binaries, have it too. Processes are recognised by the run's marker in their
//! environment or by a working directory inside the run's private one; containers by their label.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

const SCRIPT: &str = include_str!("reaper.sh");

/// The environment variable that marks every process of a run.
pub const RUN_MARKER: &str = "TOUCHSTONE_RUN";
/// The environment variable beside it that names the owner as `pid:start_ticks`, so that a sweep can
/// tell a dead run's process from a living one's when the private directory is gone.
pub const OWNER_MARKER: &str = "TOUCHSTONE_OWNER";
/// The environment variable that names the environment of a scenario within its run.
pub const ENVIRONMENT_MARKER: &str = "TOUCHSTONE_ENVIRONMENT";

/// The running reaper. Dropping it says that all is cleaned up.
#[derive(Debug)]
pub struct Reaper {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Reaper {
    /// Starts it, in a process group of its own so that a Ctrl-C on the terminal does not end it.
    pub fn start(run_id: &str, private_dir: &Path, with_docker: bool) -> io::Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "touchstone-reaper", run_id])
            .arg(private_dir)
            .arg(if with_docker { "docker" } else { "process" })
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .env_remove(RUN_MARKER)
            .env_remove(OWNER_MARKER)
            .process_group(0)
            .spawn()?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            // It may be gone already; then there is nobody to tell.
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.child.wait();
    }
}
