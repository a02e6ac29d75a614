//! Why a benchmark could not be had, or not be believed.

use std::io;
use std::path::PathBuf;
use touchstone_core::ExitCode;
use touchstone_engine::environment::EnvironmentError;
use touchstone_engine::poll::TimedOut;
use touchstone_engine::port::NoFreePort;
use touchstone_engine::proxy::ProxyError;
use touchstone_engine::scope::ScopeError;
use touchstone_engine::store::StoreError;
use touchstone_engine::store::docker::Why;
use touchstone_engine::store::tools::MissingTools;
use touchstone_engine::subject::CallError;
use touchstone_engine::subject::manifest::ManifestError;

/// Why a benchmark ends without a number.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The environment variable names no provider.
    #[error("TOUCHSTONE_PROVIDER is `{0}`; expected process, docker or auto")]
    UnknownProvider(String),
    /// Programs for child-process stores are missing.
    #[error(transparent)]
    Tools(#[from] MissingTools),
    /// Containers cannot be had.
    #[error(transparent)]
    Docker(#[from] Why),
    /// The private directory.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// Stores, proxies and subject together.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The reference backend's manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The backend could not be built.
    #[error("cannot build the reference backend: {problem}; try `{command}`")]
    Build {
        /// What went wrong.
        problem: String,
        /// The command that shows it.
        command: String,
    },
    /// The threads of the benchmark itself.
    #[error("cannot start the benchmark's own runtime")]
    Runtime(#[source] io::Error),
    /// A request to the subject was not answered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A command to Redis failed.
    #[error("Redis did not answer as it should")]
    Redis(#[from] redis::RedisError),
    /// An answer came that is not the one whose time was asked for.
    #[error("expected {expected}, seen {seen}: its time would mean nothing")]
    WrongAnswer {
        /// What was expected.
        expected: String,
        /// What came.
        seen: String,
    },
    /// Something did not become ready.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    /// No port for a server.
    #[error(transparent)]
    Port(#[from] NoFreePort),
    /// A thread cannot be bound to a core.
    #[error("cannot pin a thread to a core")]
    Pinning(#[source] nix::Error),
    /// A program of a comparison could not be started.
    #[error("cannot start {}", .program.display())]
    Child {
        /// Which.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process that serves our proxy has ended or says something else.
    #[error("the proxy's process does not answer as it should; it may have said why above")]
    Worker(#[source] io::Error),
    /// The load's connection broke.
    #[error("the load's connection failed")]
    Traffic(#[source] io::Error),
    /// An argument that is not known.
    #[error(
        "`{0}` is not understood; known are --rounds N, --name NAME, --remark TEXT, --no-record"
    )]
    Argument(String),
    /// There is nothing to collect.
    #[error("no measurement in {}; run `cargo bench` first", .0.display())]
    NothingMeasured(PathBuf),
    /// A file is not what it should be.
    #[error("{} is not what was expected", .path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A file cannot be read or written.
    #[error("cannot read or write {}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl BenchError {
    /// The error for a file, from the error of what was done with it.
    pub fn file(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| BenchError::File { path, source }
    }

    /// The error of an answer that is not the one whose time was asked for.
    pub fn wrong(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        let (expected, seen) = (expected.into(), seen.into());
        BenchError::WrongAnswer { expected, seen }
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            BenchError::UnknownProvider(_)
            | BenchError::Manifest(_)
            | BenchError::Argument(_)
            | BenchError::NothingMeasured(_) => ExitCode::Usage,
            _ => ExitCode::Environment,
        }
    }
}
