//! What the doctor looks at.

use super::sheet::Line;
use crate::plan;
use nix::unistd::{Uid, User};
use std::path::Path;
use std::process::Command;
use touchstone_engine::machine;
use touchstone_engine::scope::{MEMORY_NEEDED_BYTES, base_dirs, free_bytes};
use touchstone_engine::store::docker::{self, ImageOverrides, ImageRef, Why};
use touchstone_engine::store::tools::{ToolSeen, Tools, postgres_versions};
use touchstone_engine::store::{StoreKind, store_user};
use touchstone_engine::subject::Manifest;
use touchstone_engine::subject::manifest::ManifestError;

const MIB: u64 = 1024 * 1024;

/// User, cores, memory, space.
pub(super) fn machine() -> Vec<Line> {
    let seen = machine::describe();
    vec![
        user(),
        Line::ok(
            "cores",
            format!("{}, {} MiB of memory", seen.cores, seen.memory_mib),
        ),
        Line::ok("system", format!("{}; {}", seen.system, seen.processor)),
        space(),
        scheduler(),
    ]
}

/// A group of processes per session is fair to sessions and not to processes: beside a build, one session of
/// Postgres has waited half a second for a processor. Off, the same load has cost nobody more than milliseconds.
fn scheduler() -> Line {
    const SWITCH: &str = "/proc/sys/kernel/sched_autogroup_enabled";
    const NAME: &str = "scheduler";
    match std::fs::read_to_string(SWITCH) {
        Ok(text) if text.trim() == "1" => Line::note(
            NAME,
            "groups processes by session (sched_autogroup)",
            "if anything else runs beside a check: sysctl -w kernel.sched_autogroup_enabled=0",
        ),
        _ => Line::ok(NAME, "does not group processes by session"),
    }
}

fn user() -> Line {
    let uid = Uid::effective();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let name = name.unwrap_or_else(|| format!("uid {uid}"));
    match (uid.is_root(), store_user(StoreKind::Postgres)) {
        (false, _) => Line::ok("user", name),
        (true, Some(user)) => Line::ok("user", format!("{name}; Postgres is run as `{user}`")),
        (true, None) => Line::missing(
            "user",
            format!("{name}; Postgres refuses to be, and there is no `postgres` and no `nobody`"),
            "run as an ordinary user, or adduser --system postgres",
        ),
    }
}

fn space() -> Line {
    let seen: Vec<(String, u64)> = base_dirs()
        .iter()
        .map(|dir| (dir.display().to_string(), free_bytes(dir)))
        .collect();
    let told: Vec<String> = seen
        .iter()
        .map(|(dir, free)| match free {
            0 => format!("{dir} cannot be used"),
            free => format!("{dir} {} MiB free", free / MIB),
        })
        .collect();
    let told = told.join(", ");
    if seen.iter().any(|(_, free)| *free >= MEMORY_NEEDED_BYTES) {
        return Line::ok("temp space", told);
    }
    let needed = MEMORY_NEEDED_BYTES / MIB;
    Line::note(
        "temp space",
        told,
        format!(
            "set TMPDIR to a directory with {needed} MiB; several scenarios at once need as much"
        ),
    )
}

/// The programs of the process provider, with their versions.
pub(super) fn tools() -> Vec<Line> {
    Tools::look().iter().map(tool).collect()
}

fn tool(tool: &ToolSeen) -> Line {
    let Some(path) = &tool.path else {
        return Line::missing(&tool.name, "not found", &tool.remedy);
    };
    let file = path.file_name().and_then(|name| name.to_str());
    let is_server = matches!(file, Some("redis-server" | "valkey-server" | "postgres"));
    if !is_server {
        return Line::ok(&tool.name, path.display().to_string());
    }
    match version(path) {
        Ok(version) => {
            let others = match file {
                Some("postgres") => others(&version),
                _ => String::new(),
            };
            Line::ok(&tool.name, format!("{version}  {}{others}", path.display()))
        }
        Err(problem) => Line::missing(
            &tool.name,
            format!("{} does not run: {problem}", path.display()),
            &tool.remedy,
        ),
    }
}

/// What a server says of its version: the first word with a digit in front, or behind `v=`.
fn version(program: &Path) -> Result<String, String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text
        .split_whitespace()
        .map(|word| word.trim_start_matches("v="));
    let mut versions = words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    match versions.next() {
        Some(version) if output.status.success() => Ok(version.to_owned()),
        _ => Err(format!("`--version` gave {} and {text:?}", output.status)),
    }
}

fn others(taken: &str) -> String {
    let major = taken.split('.').next().unwrap_or(taken);
    let others: Vec<String> = postgres_versions()
        .iter()
        .map(u32::to_string)
        .filter(|version| version != major)
        .collect();
    match others.is_empty() {
        true => String::new(),
        false => format!(" (also here: {})", others.join(", ")),
    }
}

/// What there is of containers.
pub(super) enum Docker {
    /// An engine answers, the images are here.
    Ready { lines: Vec<Line> },
    /// An engine answers, an image would have to be pulled.
    MustPull { lines: Vec<Line> },
    /// Containers cannot be had.
    Absent(Why),
}

impl Docker {
    pub(super) fn can_work(&self) -> bool {
        matches!(self, Docker::Ready { .. })
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        match self {
            Docker::Ready { lines } | Docker::MustPull { lines } => lines.clone(),
            Docker::Absent(why) => vec![Line::missing("engine", &why.what, &why.remedy)],
        }
    }
}

/// Asks the engine; pulls nothing.
pub(super) async fn docker(overrides: &ImageOverrides) -> Docker {
    let version = match docker::engine_answers().await {
        Ok(version) => version,
        Err(why) => return Docker::Absent(why),
    };
    let mut lines = vec![Line::ok("engine", format!("version {version} answers"))];
    let mut must_pull = false;
    for kind in StoreKind::ALL {
        match docker::image_here(kind, overrides).await {
            Ok(seen) => {
                must_pull |= seen.is_err();
                lines.push(image(kind, seen));
            }
            Err(why) => return Docker::Absent(why),
        }
    }
    if must_pull {
        Docker::MustPull { lines }
    } else {
        Docker::Ready { lines }
    }
}

fn image(kind: StoreKind, seen: Result<(ImageRef, &'static str), ImageRef>) -> Line {
    let name = format!("{kind} image");
    match seen {
        Ok((image, why)) => Line::ok(&name, format!("{image} ({why})")),
        Err(absent) => Line::note(
            &name,
            format!("none is here; {absent} would be pulled"),
            "without a registry: `make images`",
        ),
    }
}

/// The manifest and the program that it names.
pub(super) fn subject(path: &Path, manifest: &Result<Manifest, ManifestError>) -> Vec<Line> {
    let manifest = match manifest {
        Ok(manifest) => manifest,
        Err(error) => {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
            let found = format!("{error}{}", cause.unwrap_or_default());
            return vec![Line::missing(
                "manifest",
                found,
                "name another with --subject FILE, or correct this one",
            )];
        }
    };
    let name = &manifest.subject.name;
    let program = match plan::program_problem(manifest) {
        None => Line::ok("program", "is there"),
        Some(problem) => {
            Line::missing("program", problem, "for the reference backend: cargo build")
        }
    };
    vec![
        Line::ok("manifest", format!("{} ({name})", path.display())),
        program,
    ]
}
