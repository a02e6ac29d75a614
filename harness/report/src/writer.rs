//! The sink that keeps the run's folder: what a run leaves behind, also when it is killed.

use crate::partial::PartialRecord;
use crate::{atomic, faults, json, junit, markdown};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use touchstone_core::event::{EventSink, RunEvent, RunEventKind};
use touchstone_core::{ExitCode, RunRecord};

/// The link to the newest run, beside the runs.
const LATEST: &str = "latest";

/// Why a run has no folder.
#[derive(Debug, thiserror::Error)]
pub enum RunFolderError {
    /// The run's id cannot name a folder: choose a plain name.
    #[error("`{run_id}` cannot name a folder; expected a plain name without separators")]
    InvalidRunId {
        /// The id.
        run_id: String,
    },
    /// A run of that id has left its report: choose another id, or remove the folder.
    #[error("{} exists already, and reports of two runs are never mixed", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The folder or the link beside it cannot be made: choose another report folder.
    #[error("cannot make {}", path.display())]
    NotWritable {
        /// The folder or link.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Keeps `<reports>/runs/<run-id>/`: `record.json` after each scenario, the rest at the end.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    step_summary: Option<PathBuf>,
    partial: Option<PartialRecord>,
}

impl RunFolder {
    /// Makes the folder and points `<reports>/runs/latest` at it.
    ///
    /// `step_summary` is a file that `summary.md` is appended to as well, for instance the one that
    /// `$GITHUB_STEP_SUMMARY` names.
    pub fn create(
        reports: &Path,
        run_id: &str,
        step_summary: Option<PathBuf>,
    ) -> Result<Self, RunFolderError> {
        let mut components = Path::new(run_id).components();
        let plain = matches!(components.next(), Some(Component::Normal(name)) if name == run_id);
        if !plain || run_id == LATEST {
            return Err(RunFolderError::InvalidRunId {
                run_id: run_id.to_owned(),
            });
        }
        let runs = reports.join("runs");
        let path = runs.join(run_id);
        let not_writable = |path: &Path, source| RunFolderError::NotWritable {
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(&runs).map_err(|source| not_writable(&runs, source))?;
        fs::create_dir(&path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => RunFolderError::Exists { path: path.clone() },
            _ => not_writable(&path, source),
        })?;
        let latest = runs.join(LATEST);
        // Relative, so that the reports folder can be moved and mounted elsewhere.
        atomic::link(Path::new(run_id), &latest).map_err(|source| not_writable(&latest, source))?;
        Ok(Self {
            path,
            step_summary,
            partial: None,
        })
    }

    /// The run's folder; logs of scenarios go under it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write_partial(&self, wall_ms: u64) -> io::Result<()> {
        let Some(partial) = &self.partial else {
            return Ok(());
        };
        let text = partial.render(wall_ms);
        atomic::write(&self.path.join("record.json"), text.as_bytes())
    }

    /// Writes every format, each also when another one failed.
    fn write_all(&self, record: &RunRecord, exit_code: ExitCode) -> io::Result<()> {
        let summary = markdown::render(record, exit_code);
        let junit = junit::render(record, exit_code)
            .map_err(io::Error::other)
            .and_then(|xml| atomic::write(&self.path.join("junit.xml"), xml.as_bytes()));
        let appended = match &self.step_summary {
            Some(path) => append(path, &summary),
            None => Ok(()),
        };
        let planned = faults::render(record)
            .and_then(|lines| atomic::write(&self.path.join("faults.jsonl"), lines.as_bytes()));
        let results = [
            (
                "record.json",
                json::write(&self.path.join("record.json"), record),
            ),
            ("faults.jsonl", planned),
            ("junit.xml", junit),
            (
                "summary.md",
                atomic::write(&self.path.join("summary.md"), summary.as_bytes()),
            ),
            ("the step summary", appended),
        ];
        first_error_naming_all(results)
    }
}

/// All failures in one error of the first one's kind.
fn first_error_naming_all<const N: usize>(
    results: [(&'static str, io::Result<()>); N],
) -> io::Result<()> {
    let failures: Vec<(&str, io::Error)> = results
        .into_iter()
        .filter_map(|(name, result)| result.err().map(|error| (name, error)))
        .collect();
    let Some((_, first)) = failures.first() else {
        return Ok(());
    };
    let told: Vec<String> = failures
        .iter()
        .map(|(name, error)| format!("cannot write {name}: {error}"))
        .collect();
    Err(io::Error::new(first.kind(), told.join("; ")))
}

/// Appends, since other steps of a pipeline may have written to the file before.
fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(text.as_bytes())
}

impl EventSink for RunFolder {
    fn on_event(&mut self, event: &RunEvent) -> io::Result<()> {
        let wall_ms = event.elapsed_us / 1_000;
        match &event.kind {
            RunEventKind::RunStarted { .. } => {
                self.partial = PartialRecord::begin(event).transpose()?;
                self.write_partial(wall_ms)
            }
            RunEventKind::ScenarioFinished { record } => {
                if let Some(partial) = &mut self.partial {
                    partial.push(record)?;
                }
                self.write_partial(wall_ms)
            }
            RunEventKind::RunFinished { record, exit_code } => self.write_all(record, *exit_code),
            RunEventKind::ScenarioStarted { .. }
            | RunEventKind::Step { .. }
            | RunEventKind::FaultInjected { .. }
            | RunEventKind::FaultHealed { .. }
            | RunEventKind::Interrupted { .. } => Ok(()),
        }
    }
}
