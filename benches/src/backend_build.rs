//! The reference backend's program: built as it is to be measured, not whatever lies in `target/`.

use crate::{BackendBuild, BenchError, Mode, workspace_root};
use serde::Deserialize;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use touchstone_engine::subject::Manifest;
use touchstone_engine::subject::process::{program_and_dir, program_exists};

const PACKAGE: &str = "reference-backend";

/// The program to start, and how it was built.
///
/// A measurement builds the release profile (from which `bench` inherits, so that dependencies are
/// shared); a smoke run takes the debug build that the manifest names, and builds it only if it is not
/// there: other tests may be running it.
pub(crate) fn program(
    mode: Mode,
    manifest: &Manifest,
) -> Result<(PathBuf, BackendBuild), BenchError> {
    if mode == Mode::Measure {
        return build("release");
    }
    let (program, _) = program_and_dir(manifest);
    if !program_exists(&program) {
        return build("dev");
    }
    let build = BackendBuild {
        profile: "dev".to_owned(),
        opt_level: "as found".to_owned(),
    };
    Ok((program, build))
}

/// The part of cargo's messages that says where a program is.
#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
    profile: ArtifactProfile,
}

#[derive(Deserialize)]
struct ArtifactProfile {
    opt_level: String,
}

/// What cargo tells a bench target of its package. Build scripts watch these variables (ring's does): with
/// them, everything above such a crate would be built anew here, and again by the next plain build.
fn is_of_our_package(variable: &OsStr) -> bool {
    let of_package = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
    ];
    let name = variable.to_string_lossy();
    of_package.iter().any(|prefix| name.starts_with(prefix))
}

fn build(profile: &str) -> Result<(PathBuf, BackendBuild), BenchError> {
    let arguments = [
        "build",
        "--profile",
        profile,
        "--package",
        PACKAGE,
        "--bin",
        PACKAGE,
    ];
    let failed = |problem: String| BenchError::Build {
        problem,
        command: format!("cargo {}", arguments.join(" ")),
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_our_package(name)) {
        command.env_remove(name);
    }
    // Its progress is shown: from nothing it takes a minute.
    let output = command
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace_root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!("cargo ended with {}", output.status)));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let artifact = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .find_map(|artifact| Some((artifact.executable?, artifact.profile.opt_level)));
    let (program, opt_level) =
        artifact.ok_or_else(|| failed("cargo named no program".to_owned()))?;
    let build = BackendBuild {
        profile: profile.to_owned(),
        opt_level,
    };
    Ok((program, build))
}
