//! What the subject has logged: its standard output and error, in one file, line by line.

use crate::poll::{Look, TimedOut, poll_until};
use regex::{Captures, Regex};
use std::path::{Path, PathBuf};
use std::time::Duration;

const TAIL_LINES: usize = 8;
const POLL: Duration = Duration::from_millis(5);

/// The log of one instance.
#[derive(Debug, Clone)]
pub struct Log {
    path: PathBuf,
}

impl Log {
    /// The log in this file.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it so far.
    pub fn text(&self) -> String {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The lines that match.
    pub fn matching(&self, pattern: &Regex) -> Vec<String> {
        self.text()
            .lines()
            .filter(|line| pattern.is_match(line))
            .map(str::to_owned)
            .collect()
    }

    /// What a named group captured in each line that matches.
    pub fn captures(&self, pattern: &Regex, group: &str) -> Vec<String> {
        let named = |captures: Captures<'_>| captures.name(group).map(|m| m.as_str().to_owned());
        self.text()
            .lines()
            .filter_map(|line| pattern.captures(line).and_then(named))
            .collect()
    }

    /// Waits until at least `count` lines match.
    pub async fn wait_for(
        &self,
        what: &str,
        pattern: &Regex,
        count: usize,
        deadline: Duration,
    ) -> Result<Vec<String>, TimedOut> {
        poll_until(what, deadline, POLL, || async {
            let lines = self.matching(pattern);
            if lines.len() >= count {
                return Look::Ready(lines);
            }
            Look::NotYet(format!(
                "{} matching lines; the log ends with:\n{}",
                lines.len(),
                self.tail()
            ))
        })
        .await
    }

    /// Its last lines.
    pub fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}
