//! The programs that child-process stores need: where they are, or the command that installs them.

use std::path::{Path, PathBuf};

/// Where the programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// `redis-server` (or `valkey-server`).
    pub redis_server: PathBuf,
    /// `postgres`.
    pub postgres: PathBuf,
    /// `initdb` of the same version.
    pub initdb: PathBuf,
}

/// A program that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingTool {
    /// Its name.
    pub name: &'static str,
    /// The command that installs it.
    pub install: &'static str,
}

/// Programs are missing; all of them are named at once.
#[derive(Debug, thiserror::Error)]
#[error("cannot start stores as child processes: {}", list(.missing))]
pub struct MissingTools {
    /// What is missing.
    pub missing: Vec<MissingTool>,
}

fn list(missing: &[MissingTool]) -> String {
    let line =
        |tool: &MissingTool| format!("`{}` not found (install: {})", tool.name, tool.install);
    missing.iter().map(line).collect::<Vec<_>>().join("; ")
}

impl Tools {
    /// Looks on the PATH, then where Debian puts Postgres. `TOUCHSTONE_REDIS_SERVER` and
    /// `TOUCHSTONE_POSTGRES_BIN` (a directory) name others.
    pub fn find() -> Result<Self, MissingTools> {
        let redis_server = from_env("TOUCHSTONE_REDIS_SERVER")
            .or_else(|| on_path("redis-server"))
            .or_else(|| on_path("valkey-server"));
        let postgres_bin = postgres_bin();
        match (redis_server, postgres_bin) {
            (Some(redis_server), Some(bin)) => Ok(Self {
                redis_server,
                postgres: bin.join("postgres"),
                initdb: bin.join("initdb"),
            }),
            (redis_server, postgres_bin) => Err(MissingTools {
                missing: [
                    redis_server.is_none().then_some(MissingTool {
                        name: "redis-server",
                        install: "apt-get install redis-server",
                    }),
                    postgres_bin.is_none().then_some(MissingTool {
                        name: "postgres",
                        install: "apt-get install postgresql",
                    }),
                ]
                .into_iter()
                .flatten()
                .collect(),
            }),
        }
    }
}

fn from_env(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.exists())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// The directory with `postgres` and `initdb`: the newest of Debian's, else whatever is on the PATH.
fn postgres_bin() -> Option<PathBuf> {
    let complete = |bin: &Path| bin.join("postgres").is_file() && bin.join("initdb").is_file();
    if let Some(bin) = from_env("TOUCHSTONE_POSTGRES_BIN") {
        return complete(&bin).then_some(bin);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            complete(&bin).then_some((version, bin))
        })
        .max();
    // `initdb` looks for `postgres` beside its real self, so a link on the PATH is followed first.
    let linked = || {
        on_path("initdb")?
            .canonicalize()
            .ok()?
            .parent()
            .map(Path::to_owned)
    };
    newest
        .map(|(_, bin)| bin)
        .or_else(|| linked().filter(|bin| complete(bin)))
}
