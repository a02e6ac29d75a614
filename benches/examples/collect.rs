//! Writes `reports/baselines/<date>-<name>.json` from the last `cargo bench`.
//!
//! `cargo run -p touchstone-benches --example collect -- NAME [REMARK..]`

use std::path::PathBuf;
use std::process::ExitCode;
use touchstone_benches::{BenchError, baseline, commit, criterion_dir, workspace_root};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let is_name = |name: &String| !name.is_empty() && !name.starts_with('-') && !name.contains('/');
    let Some(name) = arguments.next().filter(is_name) else {
        return tell(
            "usage: collect NAME [REMARK..]; NAME becomes part of a file's name",
            2,
        );
    };
    match write(&name, arguments.collect()) {
        Ok(path) => tell(&format!("wrote {}", path.display()), 0),
        Err(error) => tell(
            &touchstone_engine::error_chain(&error),
            error.exit_code().number(),
        ),
    }
}

fn write(name: &str, remarks: Vec<String>) -> Result<PathBuf, BenchError> {
    let command = format!("cargo run -p touchstone-benches --example collect -- {name}");
    let collected = baseline::collect(&criterion_dir(), command, commit(), remarks)?;
    let measured_at = collected.runs.iter().map(|run| run.started_at).max();
    let date = measured_at.unwrap_or_default().strftime("%Y-%m-%d");
    let dir = workspace_root().join("reports/baselines");
    let path = dir.join(format!("{date}-{name}.json"));
    let text = serde_json::to_string_pretty(&collected).map_err(|source| BenchError::Format {
        path: path.clone(),
        source,
    })?;
    std::fs::create_dir_all(&dir).map_err(BenchError::file(&dir))?;
    std::fs::write(&path, text + "\n").map_err(BenchError::file(&path))?;
    Ok(path
        .strip_prefix(workspace_root())
        .unwrap_or(&path)
        .to_owned())
}

#[expect(clippy::print_stderr, reason = "an example is a program of its own")]
fn tell(line: &str, exit_code: u8) -> ExitCode {
    eprintln!("{line}");
    ExitCode::from(exit_code)
}
