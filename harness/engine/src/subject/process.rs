//! The subject as a process: started from its manifest, watched, signalled, ended.

use super::manifest::{Manifest, Template};
use crate::listener::Listener;
use crate::poll::TimedOut;
use crate::process_tree;
use crate::reaper::{ENVIRONMENT_MARKER, OWNER_MARKER, RUN_MARKER};
use crate::scope::own_identity;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;
use touchstone_core::Finding;

/// Why the subject could not be driven.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// There is no such program: the manifest or the build is wrong, not the subject.
    #[error("cannot start the subject: `{}` in {}; build it, or correct `subject.command` in the manifest", .program.display(), .dir.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Where it was to run.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A log file could not be made.
    #[error("cannot write the subject's log {}", .path.display())]
    Log {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("the subject ended before it was ready: {exit}")]
    Ended {
        /// How.
        exit: ExitSeen,
        /// The end of its log.
        log_tail: String,
    },
    /// It did not become ready.
    #[error("{timeout}")]
    NotReady {
        /// How long was waited, and what was last seen.
        timeout: TimedOut,
        /// The end of its log.
        log_tail: String,
    },
    /// Somebody else listens on the port that it was given.
    #[error(
        "{listener} has taken port {port} between our choice of it and the subject's start; run again"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// Who.
        listener: Listener,
    },
    /// Somebody listens on the port that the subject always has.
    #[error(
        "{by} listens on port {port}, which the subject needs (`subject.port` in the manifest); end it and run again"
    )]
    FixedPortTaken {
        /// The port.
        port: u16,
        /// Who, as far as can be seen.
        by: String,
    },
    /// A signal could not be sent.
    #[error("cannot signal the subject")]
    Signal(#[source] io::Error),
}

/// What is expected of every subject before anything else is.
pub const READY_EXPECTATION: &str = "a subject that becomes ready with both stores up";

impl SubjectError {
    /// The error as a broken expectation, the end of the log as its evidence.
    pub fn finding(&self) -> Finding {
        let finding = Finding::new(READY_EXPECTATION, self.to_string());
        let (SubjectError::Ended { log_tail, .. } | SubjectError::NotReady { log_tail, .. }) = self
        else {
            return finding;
        };
        if log_tail.is_empty() {
            return finding.with_evidence("its log is empty");
        }
        let lines = log_tail.lines();
        lines.fold(finding, |finding, line| {
            finding.with_evidence(format!("log: {line}"))
        })
    }

    /// Whether the subject itself is to blame, and not its environment or manifest.
    pub fn is_of_subject(&self) -> bool {
        match self {
            SubjectError::Ended { .. } | SubjectError::NotReady { .. } => true,
            SubjectError::Spawn { .. }
            | SubjectError::Log { .. }
            | SubjectError::PortTaken { .. }
            | SubjectError::FixedPortTaken { .. }
            | SubjectError::Signal(_) => false,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitSeen {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl From<ExitStatus> for ExitSeen {
    fn from(status: ExitStatus) -> Self {
        Self {
            code: status.code(),
            signal: status.signal(),
        }
    }
}

impl std::fmt::Display for ExitSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "ended by signal {signal}"),
            (None, None) => f.write_str("ended"),
        }
    }
}

/// What one instance of the subject is started with.
#[derive(Debug, Clone)]
pub struct LaunchPlan {
    /// The run that it belongs to.
    pub run_id: String,
    /// The environment that it belongs to.
    pub environment: String,
    /// Where its output goes, unredacted: a file in the run's private directory.
    pub log_path: PathBuf,
    /// The loopback port that it is to serve on.
    pub http_port: u16,
    /// Its environment, placeholders filled.
    pub env: BTreeMap<String, String>,
}

/// A running, or ended, instance. Dropping it kills its process tree.
#[derive(Debug)]
pub struct Subject {
    child: Child,
    exit: Option<ExitSeen>,
    started: Instant,
    start_ticks: u64,
}

impl Subject {
    /// Starts it. Returns at once, long before it is ready.
    pub fn start(manifest: &Manifest, plan: &LaunchPlan) -> Result<Self, SubjectError> {
        let log_error = |source| SubjectError::Log {
            path: plan.log_path.clone(),
            source,
        };
        let output = File::create(&plan.log_path).map_err(log_error)?;
        let errors = output.try_clone().map_err(log_error)?;
        let (program, dir) = program_and_dir(manifest);
        let mut command = Command::new(&program);
        command.args(
            manifest.subject.command[1..]
                .iter()
                .map(fill_from_environment),
        );
        command
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        command.env_clear().process_group(0);
        for inherited in ["PATH", "HOME"] {
            command.envs(std::env::var_os(inherited).map(|value| (inherited, value)));
        }
        command
            .envs(&plan.env)
            .env(RUN_MARKER, &plan.run_id)
            .env(OWNER_MARKER, own_identity())
            .env(ENVIRONMENT_MARKER, &plan.environment);
        let started = Instant::now();
        let child = command.spawn().map_err(|source| SubjectError::Spawn {
            program,
            dir,
            source,
        })?;
        // Until it is waited for, it can be looked at, be it a zombie.
        let pid = i32::try_from(child.id()).expect("process ids fit in 31 bits");
        let start_ticks = process_tree::look(pid).map_or(u64::MAX, |seen| seen.start_ticks);
        Ok(Self {
            child,
            exit: None,
            started,
            start_ticks,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids fit in 31 bits")
    }

    /// When it was started, in the kernel's clock ticks after boot.
    pub fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// How it ended, if it has.
    pub fn exit(&mut self) -> Option<ExitSeen> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().ok().flatten().map(ExitSeen::from);
        }
        self.exit
    }

    /// Sends a signal to the process itself, as an orchestrator would.
    pub fn signal(&self, which: Signal) -> Result<(), SubjectError> {
        process_tree::signal(self.pid(), which).map_err(SubjectError::Signal)
    }

    /// Kills its whole process tree and reaps it.
    pub fn kill(&mut self) {
        if self.exit().is_none() {
            // An error here means that it is gone, or that nothing can be done about it.
            let _ = process_tree::signal_tree(self.pid(), Signal::SIGKILL);
            self.exit = self.child.wait().ok().map(ExitSeen::from);
        }
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program, and the directory that it runs in. A program with a slash is found from there.
pub fn program_and_dir(manifest: &Manifest) -> (PathBuf, PathBuf) {
    let dir = manifest.resolve(&manifest.subject.working_dir);
    let dir = dir.canonicalize().unwrap_or(dir);
    let program = PathBuf::from(fill_from_environment(&manifest.subject.command[0]));
    let is_path = program.components().count() > 1;
    (if is_path { dir.join(program) } else { program }, dir)
}

/// Whether the program is there and may be run: as a file, or somewhere on the PATH.
pub fn program_exists(program: &Path) -> bool {
    let can_run = |path: &Path| {
        path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
    };
    if program.components().count() > 1 {
        return can_run(program);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| can_run(&dir.join(program)))
}

/// Fills `{env.NAME|default}` from our own environment.
fn fill_from_environment(template: &Template) -> String {
    template.fill(|placeholder| {
        let variable = placeholder.strip_prefix("env.")?;
        let (name, default) = variable.split_once('|').unwrap_or((variable, ""));
        Some(std::env::var(name).unwrap_or_else(|_| default.to_owned()))
    })
}
