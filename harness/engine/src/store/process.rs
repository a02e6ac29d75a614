//! A store as a child process: a real `redis-server` or `postgres` on a free loopback port, in the
//! run's private directory.

use super::spec::{ServerSpec, ServerState, StoreKind};
use super::template::{self, TemplateError};
use super::tools::Tools;
use crate::port::{self, NoFreePort};
use crate::process_tree;
use crate::reaper::{OWNER_MARKER, RUN_MARKER};
use crate::scope::{RunScope, ScopeError};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to end after the signal that asks it to.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// The same for a server that is dropped, by a thread that is blocked meanwhile.
const DROP_DEADLINE: Duration = Duration::from_millis(500);
/// How often the kernel is asked whether it has.
const EXIT_POLL: Duration = Duration::from_millis(2);

/// Why a child-process store could not be driven.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// No port.
    #[error(transparent)]
    Port(#[from] NoFreePort),
    /// No directory.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// No data directory for Postgres.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The program could not be started.
    #[error("cannot start `{}`", .program.display())]
    Spawn {
        /// Which program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the server could not be written or read.
    #[error("cannot use {}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A signal could not be sent.
    #[error("cannot signal {server}")]
    Signal {
        /// Whom.
        server: String,
        /// Why.
        source: io::Error,
    },
    /// The signal was sent, the state did not follow.
    #[error("{server} was to be {wanted} and is still {seen}")]
    Unmoved {
        /// Which.
        server: String,
        /// The state that the signal should have led to.
        wanted: ServerState,
        /// The state that the kernel shows.
        seen: ServerState,
    },
    /// The server did not end.
    #[error("{server} did not end within {} s of being asked to", STOP_DEADLINE.as_secs())]
    DidNotStop {
        /// Which.
        server: String,
    },
}

/// As whom a store runs. Postgres refuses to run as root.
#[derive(Debug, Clone)]
pub struct Privileges {
    drop_to: Option<User>,
}

impl Privileges {
    /// Our own user's; as root, those of `postgres` or, without such a user, of `nobody`.
    pub fn for_store(kind: StoreKind) -> Self {
        let must_drop = kind == StoreKind::Postgres && Uid::effective().is_root();
        let user = |name| User::from_name(name).ok().flatten();
        Self {
            drop_to: must_drop
                .then(|| user("postgres").or_else(|| user("nobody")))
                .flatten(),
        }
    }

    /// The id of the user that the store runs as.
    pub fn uid(&self) -> u32 {
        self.drop_to
            .as_ref()
            .map_or(Uid::effective(), |user| user.uid)
            .as_raw()
    }

    /// A command that runs as that user. `setpriv` replaces itself by the program, so that the child's
    /// id is the server's.
    pub fn command(&self, program: &Path) -> Command {
        let Some(user) = &self.drop_to else {
            return Command::new(program);
        };
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={}", user.uid))
            .arg(format!("--regid={}", user.gid));
        command.args(["--clear-groups", "--"]).arg(program);
        command
    }

    /// Makes that user the owner of a path.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        match &self.drop_to {
            Some(user) => {
                nix::unistd::chown(path, Some(user.uid), Some(user.gid)).map_err(Into::into)
            }
            None => Ok(()),
        }
    }
}

/// The name of the user that a store is run as instead of root; `None` if there is no such user, or if
/// it is run as our own.
pub fn store_user(kind: StoreKind) -> Option<String> {
    Privileges::for_store(kind).drop_to.map(|user| user.name)
}

/// One server. Dropping it kills the whole process tree.
#[derive(Debug)]
pub struct ProcessServer {
    spec: ServerSpec,
    tools: Tools,
    privileges: Privileges,
    dir: PathBuf,
    owner: String,
    port: u16,
    tls_port: Option<u16>,
    child: Option<Child>,
}

impl ProcessServer {
    /// Makes the data directory and starts the server. Readiness is the caller's to wait for.
    pub fn launch(
        spec: &ServerSpec,
        tools: &Tools,
        scope: &RunScope,
    ) -> Result<Self, ProcessError> {
        let dir = scope.make_dir(&spec.name)?;
        let privileges = Privileges::for_store(spec.kind);
        privileges.give(&dir).map_err(|source| ProcessError::File {
            path: dir.clone(),
            source,
        })?;
        let mut server = Self {
            spec: spec.clone(),
            tools: tools.clone(),
            privileges,
            dir,
            owner: scope.owner().to_owned(),
            port: port::free_port()?,
            tls_port: None,
            child: None,
        };
        if spec.kind == StoreKind::Postgres {
            let data = server.dir.join("data");
            template::copy_to(&data, scope.dir(), tools, &server.privileges)?;
        }
        server.start()?;
        Ok(server)
    }

    /// Which store it is.
    pub fn kind(&self) -> StoreKind {
        self.spec.kind
    }

    /// Where it listens; `None` while it does not run.
    pub fn address(&self) -> Option<SocketAddr> {
        self.child
            .as_ref()
            .map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    /// Where it listens for TLS; `None` if it does not, and while it does not run.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        let port = self.child.as_ref().and(self.tls_port)?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Starts it again on the same data.
    pub fn start(&mut self) -> Result<(), ProcessError> {
        if self.child.is_some() {
            return Ok(());
        }
        // Somebody may have taken the port while we were down; the proxy's address is the stable one.
        if !port::is_free(self.port) {
            self.port = port::free_port()?;
        }
        if self.spec.tls.is_some() && !self.tls_port.is_some_and(port::is_free) {
            self.tls_port = Some(port::free_port()?);
        }
        let mut command = match self.spec.kind {
            StoreKind::Redis => self.redis_command()?,
            StoreKind::Postgres => self.postgres_command(),
        };
        let log = self.open_log()?;
        let log_too = log.try_clone().map_err(|source| ProcessError::File {
            path: self.log_path(),
            source,
        })?;
        command
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too);
        command
            .env(RUN_MARKER, &self.spec.run_id)
            .env(OWNER_MARKER, &self.owner)
            .process_group(0);
        let program = PathBuf::from(command.get_program());
        let child = command
            .spawn()
            .map_err(|source| ProcessError::Spawn { program, source })?;
        self.child = Some(child);
        Ok(())
    }

    /// The polite end: SIGTERM for Redis, SIGINT (a fast shutdown) for Postgres, whose SIGTERM would
    /// wait for its clients. A frozen server is thawed first, or it could not hear.
    pub async fn stop(&mut self) -> Result<(), ProcessError> {
        let signal = match self.spec.kind {
            StoreKind::Redis => Signal::SIGTERM,
            StoreKind::Postgres => Signal::SIGINT,
        };
        self.thaw().await?;
        self.end_with(signal).await
    }

    /// SIGKILL for every process of it.
    pub async fn kill(&mut self) -> Result<(), ProcessError> {
        if let Some(pid) = self.pid() {
            process_tree::signal_tree(pid, Signal::SIGKILL).map_err(|e| self.signal_error(e))?;
        }
        self.wait_exit().await
    }

    /// SIGSTOP for every process of it; returns when the kernel shows them all stopped.
    pub async fn freeze(&mut self) -> Result<(), ProcessError> {
        self.signal_all(Signal::SIGSTOP)?;
        self.wait_state(ServerState::Frozen).await
    }

    /// SIGCONT for every process of it; returns when the kernel shows none stopped.
    pub async fn thaw(&mut self) -> Result<(), ProcessError> {
        if self.child.is_none() {
            return Ok(());
        }
        self.signal_all(Signal::SIGCONT)?;
        self.wait_state(ServerState::Running).await
    }

    /// Its state, read back from the kernel.
    pub fn state(&self) -> ServerState {
        match self.pid() {
            Some(pid) if process_tree::tree(pid).is_empty() => ServerState::Gone,
            Some(pid) if process_tree::is_frozen(pid) => ServerState::Frozen,
            Some(_) => ServerState::Running,
            None => ServerState::Gone,
        }
    }

    /// Everything that it has logged.
    pub fn logs(&self) -> Result<String, ProcessError> {
        let path = self.log_path();
        match fs::read(&path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(source) => Err(ProcessError::File { path, source }),
        }
    }

    /// Ends it in whatever state it is, and removes its data.
    pub async fn remove(mut self) -> Result<(), ProcessError> {
        match self.spec.kind {
            // Whoever starts us in the background of a script may have SIGQUIT ignored, and what is
            // ignored is inherited: Redis would never hear it.
            StoreKind::Redis => self.kill().await?,
            // Handles SIGQUIT itself. Its immediate shutdown gives back the shared memory, which
            // SIGKILL leaves behind.
            StoreKind::Postgres => {
                self.thaw().await?;
                self.end_with(Signal::SIGQUIT).await?;
                self.remove_shared_memory();
            }
        }
        let dir = self.dir.clone();
        fs::remove_dir_all(&dir).map_err(|source| ProcessError::File { path: dir, source })
    }

    /// Gives it up as it runs: nothing of ours ends it any more.
    pub fn leave(mut self) {
        self.child = None;
    }

    /// A Postgres that was killed has left its System V segment, and its file that names it.
    fn remove_shared_memory(&self) {
        const SEGMENT_LINE: usize = 6;
        let file = self.dir.join("data").join("postmaster.pid");
        let Ok(text) = fs::read_to_string(file) else {
            return;
        };
        let segment = text
            .lines()
            .nth(SEGMENT_LINE)
            .and_then(|line| line.split_whitespace().last());
        if let Some(id) = segment.filter(|id| id.parse::<u32>().is_ok()) {
            // Gone already is fine, and there is nothing else that could be done.
            let ipcrm = Command::new("ipcrm")
                .args(["shm", id])
                .stdout(Stdio::null())
                .output();
            tracing::debug!("removed shared memory {id}: {ipcrm:?}");
        }
    }

    pub(super) fn pid(&self) -> Option<i32> {
        self.child
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok())
    }

    fn signal_all(&self, signal: Signal) -> Result<(), ProcessError> {
        match self.pid() {
            Some(pid) => process_tree::signal_tree(pid, signal).map_err(|e| self.signal_error(e)),
            None => Ok(()),
        }
    }

    /// A signal is sent at once but acted on a little later.
    async fn wait_state(&self, wanted: ServerState) -> Result<(), ProcessError> {
        let start = Instant::now();
        loop {
            match self.state() {
                seen if seen == wanted || seen == ServerState::Gone => return Ok(()),
                seen if start.elapsed() > STOP_DEADLINE => {
                    let server = self.spec.name.clone();
                    return Err(ProcessError::Unmoved {
                        server,
                        wanted,
                        seen,
                    });
                }
                _ => tokio::time::sleep(EXIT_POLL).await,
            }
        }
    }

    async fn end_with(&mut self, signal: Signal) -> Result<(), ProcessError> {
        if let Some(pid) = self.pid() {
            process_tree::signal(pid, signal).map_err(|e| self.signal_error(e))?;
        }
        self.wait_exit().await
    }

    async fn wait_exit(&mut self) -> Result<(), ProcessError> {
        let start = Instant::now();
        while let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(Some(_)) => self.child = None,
                Ok(None) if start.elapsed() > STOP_DEADLINE => {
                    return Err(ProcessError::DidNotStop {
                        server: self.spec.name.clone(),
                    });
                }
                Ok(None) => tokio::time::sleep(EXIT_POLL).await,
                Err(source) => return Err(self.signal_error(source)),
            }
        }
        Ok(())
    }

    fn signal_error(&self, source: io::Error) -> ProcessError {
        ProcessError::Signal {
            server: self.spec.name.clone(),
            source,
        }
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    fn open_log(&self) -> Result<File, ProcessError> {
        let path = self.log_path();
        let file = File::options().create(true).append(true).open(&path);
        file.map_err(|source| ProcessError::File { path, source })
    }

    /// The password goes into a file of our own mode, not onto the command line, where every user of
    /// the machine could read it.
    fn redis_command(&self) -> Result<Command, ProcessError> {
        let path = self.dir.join("redis.conf");
        let failed = |source| ProcessError::File {
            path: path.clone(),
            source,
        };
        let mut config = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        write!(
            config,
            "bind 127.0.0.1\nport {}\nrequirepass {}\nappendonly yes\nappendfsync no\nsave \"\"\ndaemonize no\n",
            self.port, self.spec.password
        )
        .map_err(failed)?;
        if let (Some(tls), Some(tls_port)) = (&self.spec.tls, self.tls_port) {
            let here = |path: &Path| path.display().to_string();
            for (setting, value) in tls.settings(tls_port, here) {
                writeln!(config, "{setting} \"{value}\"").map_err(failed)?;
            }
        }
        let mut command = self.privileges.command(&self.tools.redis_server);
        command.arg(&path).args(&self.spec.extra_args);
        Ok(command)
    }

    /// Durability against power loss is off: the servers live for seconds. A killed server still finds
    /// its data, since the kernel has it; that is why commits stay synchronous, up to the kernel.
    fn postgres_command(&self) -> Command {
        let mut command = self.privileges.command(&self.tools.postgres);
        command
            .arg("-D")
            .arg(self.dir.join("data"))
            .arg("-p")
            .arg(self.port.to_string());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
            "full_page_writes=off",
            "shared_buffers=16MB",
            "dynamic_shared_memory_type=mmap",
            "logging_collector=off",
            "log_connections=off",
            "autovacuum=off",
        ] {
            command.arg("-c").arg(setting);
        }
        command.args(&self.spec.extra_args);
        command
    }
}

impl Drop for ProcessServer {
    fn drop(&mut self) {
        let (Some(pid), Some(child)) = (self.pid(), &mut self.child) else {
            return;
        };
        // After a panic or an interruption; there is nobody left to tell of an error. Asked first,
        // since a killed Postgres does not give back its shared memory.
        let _ = process_tree::signal_tree(pid, Signal::SIGCONT);
        let _ = process_tree::signal(pid, Signal::SIGQUIT);
        let asked = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            if asked.elapsed() > DROP_DEADLINE {
                let _ = process_tree::signal_tree(pid, Signal::SIGKILL);
                let _ = child.wait();
                return;
            }
            std::thread::sleep(EXIT_POLL);
        }
    }
}
