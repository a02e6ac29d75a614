//! The programs that child-process stores need: where they are, or the command that installs them.

use nix::unistd::Uid;
use std::path::{Path, PathBuf};

/// Where Debian puts Postgres, a directory a version.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// Where the programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// `redis-server` (or `valkey-server`).
    pub redis_server: PathBuf,
    /// One of another version, for the criteria that ask for two.
    pub second_redis_server: Option<PathBuf>,
    /// `postgres`.
    pub postgres: PathBuf,
    /// `initdb` of the same version.
    pub initdb: PathBuf,
}

/// Redis servers that somebody has asked for, before what the environment names and what is found.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Of the stores.
    pub redis_server: Option<PathBuf>,
    /// Of another version.
    pub second_redis_server: Option<PathBuf>,
}

/// A program that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSeen {
    /// Its name, or what somebody has named in its place.
    pub name: String,
    /// Where it is, if it is here.
    pub path: Option<PathBuf>,
    /// What to do if it is not.
    pub remedy: String,
}

/// Programs are missing; all of them are named at once.
#[derive(Debug, thiserror::Error)]
#[error("cannot start stores as child processes: {}", list(.missing))]
pub struct MissingTools {
    /// What is missing.
    pub missing: Vec<ToolSeen>,
}

fn list(missing: &[ToolSeen]) -> String {
    let line = |tool: &ToolSeen| format!("`{}` not found ({})", tool.name, tool.remedy);
    missing.iter().map(line).collect::<Vec<_>>().join("; ")
}

impl Tools {
    /// Looks on the PATH, then where Debian puts Postgres. `TOUCHSTONE_REDIS_SERVER`,
    /// `TOUCHSTONE_SECOND_REDIS_SERVER` and `TOUCHSTONE_POSTGRES_BIN` (a directory) name others; one
    /// that is named and not there is missing, not replaced by another.
    pub fn find() -> Result<Self, MissingTools> {
        Self::find_with(&Asked::default())
    }

    /// The same with servers that were asked for.
    pub fn find_with(asked: &Asked) -> Result<Self, MissingTools> {
        let (redis, postgres) = (redis_server(asked), postgres_server());
        let second = second_redis_server(asked);
        let found = (redis.path.clone(), postgres.path.clone());
        let second_redis_server = second.as_ref().and_then(|second| second.path.clone());
        let servers = [redis, postgres].into_iter().chain(second);
        let mut missing: Vec<ToolSeen> = servers.chain(helpers()).collect();
        missing.retain(|tool| tool.path.is_none());
        match found {
            (Some(redis_server), Some(postgres)) if missing.is_empty() => Ok(Self {
                redis_server,
                second_redis_server,
                initdb: postgres.with_file_name("initdb"),
                postgres,
            }),
            _ => Err(MissingTools { missing }),
        }
    }

    /// Every program that is looked for, found or not.
    pub fn look() -> Vec<ToolSeen> {
        let asked = Asked::default();
        [redis_server(&asked), postgres_server()]
            .into_iter()
            .chain(second_redis_server(&asked))
            .chain(helpers())
            .collect()
    }
}

/// The versions of Postgres in Debian's place, newest first.
pub fn postgres_versions() -> Vec<u32> {
    let mut versions: Vec<u32> = debian_postgres().map(|(version, _)| version).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions
}

fn redis_server(asked: &Asked) -> ToolSeen {
    let named = asked_for(asked.redis_server.as_ref(), "--redis-server");
    let named = named.or_else(|| named_by("TOUCHSTONE_REDIS_SERVER", Path::is_file));
    named.unwrap_or_else(|| ToolSeen {
        name: "redis-server".to_owned(),
        path: on_path("redis-server").or_else(|| on_path("valkey-server")),
        remedy: "install: apt-get install redis-server".to_owned(),
    })
}

/// Looked for only where one is named.
fn second_redis_server(asked: &Asked) -> Option<ToolSeen> {
    let named = asked_for(asked.second_redis_server.as_ref(), "--second-redis-server");
    named.or_else(|| named_by("TOUCHSTONE_SECOND_REDIS_SERVER", Path::is_file))
}

fn asked_for(path: Option<&PathBuf>, flag: &str) -> Option<ToolSeen> {
    let path = path?;
    Some(ToolSeen {
        name: path.display().to_string(),
        path: path.is_file().then(|| path.clone()),
        remedy: format!("correct {flag}"),
    })
}

fn postgres_server() -> ToolSeen {
    let bin = named_by("TOUCHSTONE_POSTGRES_BIN", is_complete).unwrap_or_else(|| ToolSeen {
        name: "postgres".to_owned(),
        path: postgres_bin(),
        remedy: "install: apt-get install postgresql".to_owned(),
    });
    ToolSeen {
        path: bin.path.map(|bin| bin.join("postgres")),
        ..bin
    }
}

/// What the reaper, the template and the change of user need; on every Debian, not in every container.
fn helpers() -> Vec<ToolSeen> {
    let mut needed = vec![
        ("sh", "dash"),
        ("cp", "coreutils"),
        ("find", "findutils"),
        ("grep", "grep"),
    ];
    if Uid::effective().is_root() {
        needed.push(("setpriv", "util-linux"));
    }
    let tool = |(name, package): (&str, &str)| ToolSeen {
        name: name.to_owned(),
        path: on_path(name),
        remedy: format!("install: apt-get install {package}; or correct the PATH"),
    };
    needed.into_iter().map(tool).collect()
}

/// What an environment variable names, if it is set.
fn named_by(variable: &str, is_usable: impl Fn(&Path) -> bool) -> Option<ToolSeen> {
    let path = PathBuf::from(std::env::var_os(variable).filter(|value| !value.is_empty())?);
    Some(ToolSeen {
        name: path.display().to_string(),
        path: is_usable(&path).then_some(path),
        remedy: format!("correct or unset {variable}"),
    })
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

fn is_complete(bin: &Path) -> bool {
    bin.join("postgres").is_file() && bin.join("initdb").is_file()
}

fn debian_postgres() -> impl Iterator<Item = (u32, PathBuf)> {
    let versions = std::fs::read_dir(DEBIAN_POSTGRES)
        .into_iter()
        .flatten()
        .flatten();
    versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let bin = entry.path().join("bin");
        is_complete(&bin).then_some((version, bin))
    })
}

/// The directory with `postgres` and `initdb`: the newest of Debian's, else whatever is on the PATH.
fn postgres_bin() -> Option<PathBuf> {
    // `initdb` looks for `postgres` beside its real self, so a link on the PATH is followed first.
    let linked = || {
        on_path("initdb")?
            .canonicalize()
            .ok()?
            .parent()
            .map(Path::to_owned)
    };
    debian_postgres()
        .max()
        .map(|(_, bin)| bin)
        .or_else(|| linked().filter(|bin| is_complete(bin)))
}
