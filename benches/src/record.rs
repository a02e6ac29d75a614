//! What a measurement was made on. Criterion keeps times only; without this they cannot be judged later.

use crate::BenchError;
use crate::baseline::rounded;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use touchstone_core::record::MachineRecord;

/// One run of one bench target, left in criterion's directory beside its estimates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BenchRun {
    /// The bench target.
    pub bench: String,
    /// The command that repeats it.
    pub command: String,
    /// When the stores were asked for: estimates that are older are not of this run.
    pub started_at: jiff::Timestamp,
    /// When the last benchmark was over.
    pub finished_at: jiff::Timestamp,
    /// The cargo profile of the client that measured, as far as it can tell.
    pub client_profile: String,
    /// The backend that was measured, if one was.
    pub backend: Option<BackendBuild>,
    /// `process` or `docker`.
    pub provider: String,
    /// Why that one.
    pub provider_reason: String,
    /// Versions of stores, kernel and harness.
    pub versions: BTreeMap<String, String>,
    /// What it ran on.
    pub machine: MachineRecord,
    /// Runnable tasks, averaged over one minute, before; others' work included.
    pub load_before: f64,
    /// The same after; the benchmark's own work included.
    pub load_after: f64,
    /// What was measured in pairs, by benchmark group.
    pub ratios: BTreeMap<String, PairedRatio>,
}

/// How the backend was built.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackendBuild {
    /// The cargo profile.
    pub profile: String,
    /// What cargo says of it.
    pub opt_level: String,
}

/// How many times as long something takes by a detour, measured turn by turn: what else the machine
/// does meets both alike, which times of two separate minutes cannot claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairedRatio {
    /// How often both were measured.
    pub pairs: usize,
    /// The straight way's median.
    pub direct_median_us: f64,
    /// The detour's median.
    pub proxied_median_us: f64,
    /// The median of each pair's second by its first.
    pub ratio: f64,
    /// The lowest such ratio among [`PairedRatio::BLOCKS`] equal parts of the measurement.
    pub ratio_lowest_block: f64,
    /// The highest.
    pub ratio_highest_block: f64,
}

impl PairedRatio {
    /// In how many parts the measurement is cut to show how much the ratio itself wavers.
    pub const BLOCKS: usize = 10;

    /// From pairs of (direct, proxied) nanoseconds in the order of measurement; `None` if there are too
    /// few for every part to have one.
    ///
    /// The median of the pairs' ratios, not the ratio of the medians: on a busy machine a round trip is
    /// either fast or slow, for some time on end, and the two medians may come from different times.
    pub fn of(pairs_ns: &[(u64, u64)]) -> Option<Self> {
        let block_size = pairs_ns.len() / Self::BLOCKS;
        if block_size == 0 {
            return None;
        }
        // Without the rest of a few pairs, which would be a noisy part of its own.
        let blocks: Vec<f64> = pairs_ns.chunks_exact(block_size).map(ratio).collect();
        let micros = |of: fn(&(u64, u64)) -> u64| {
            rounded(median(pairs_ns.iter().map(|pair| of(pair) as f64 / 1e3)))
        };
        Some(Self {
            pairs: pairs_ns.len(),
            direct_median_us: micros(|pair| pair.0),
            proxied_median_us: micros(|pair| pair.1),
            ratio: rounded(ratio(pairs_ns)),
            ratio_lowest_block: rounded(blocks.iter().copied().fold(f64::INFINITY, f64::min)),
            ratio_highest_block: rounded(blocks.iter().copied().fold(0.0, f64::max)),
        })
    }

    /// Whether its parts differ so much that the machine must have been too busy to tell.
    pub fn wavers(&self) -> bool {
        self.ratio_highest_block > 1.5 * self.ratio_lowest_block
    }
}

fn ratio(pairs_ns: &[(u64, u64)]) -> f64 {
    median(
        pairs_ns
            .iter()
            .map(|(direct, proxied)| *proxied as f64 / (*direct).max(1) as f64),
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        return sorted[middle];
    }
    (sorted[middle - 1] + sorted[middle]) / 2.0
}

impl BenchRun {
    /// Writes it where [`crate::baseline`] looks.
    pub fn save(&self) -> Result<(), BenchError> {
        let path = run_path(&criterion_dir(), &self.bench);
        let text = serde_json::to_string_pretty(self).map_err(|source| BenchError::Format {
            path: path.clone(),
            source,
        })?;
        std::fs::create_dir_all(criterion_dir()).map_err(BenchError::file(&path))?;
        std::fs::write(&path, text).map_err(BenchError::file(&path))
    }
}

/// Where the note of a bench target's last run lies.
pub(crate) fn run_path(criterion_dir: &Path, bench: &str) -> PathBuf {
    criterion_dir.join(format!("{bench}.run.json"))
}

/// Writes `reports/baselines/<date>-<name>.json`; where it lies in the workspace.
pub(crate) fn save_baseline(
    run: &BenchRun,
    name: &str,
    kept: &impl Serialize,
) -> Result<PathBuf, BenchError> {
    let date = run.started_at.strftime("%Y-%m-%d");
    let place = PathBuf::from(format!("reports/baselines/{date}-{name}.json"));
    let path = workspace_root().join(&place);
    let text = serde_json::to_string_pretty(kept).map_err(|source| BenchError::Format {
        path: path.clone(),
        source,
    })?;
    let dir = workspace_root().join("reports/baselines");
    std::fs::create_dir_all(&dir).map_err(BenchError::file(&dir))?;
    std::fs::write(&path, text + "\n").map_err(BenchError::file(&path))?;
    Ok(place)
}

/// The workspace, as it was when this was built: benchmarks run where they are built.
pub fn workspace_root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Criterion's directory. Said here, not left to criterion, so that the notes lie beside its files.
pub fn criterion_dir() -> PathBuf {
    let from_env = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let dir = from_env("CRITERION_HOME")
        .or_else(|| Some(from_env("CARGO_TARGET_DIR")?.join("criterion")));
    workspace_root().join(dir.unwrap_or_else(|| PathBuf::from("target/criterion")))
}

/// The commit that the working tree stands on, if git can tell.
pub fn commit() -> String {
    let describe = [
        "describe",
        "--always",
        "--abbrev=12",
        "--dirty=+",
        "--exclude=*",
    ];
    let output = Command::new("git")
        .args(describe)
        .current_dir(workspace_root())
        .output();
    let text = output
        .ok()
        .filter(|output| output.status.success())
        .map(|output| output.stdout);
    let text = String::from_utf8(text.unwrap_or_default()).unwrap_or_default();
    match text.trim() {
        "" => "unknown".to_owned(),
        commit => commit.to_owned(),
    }
}

/// Runnable tasks averaged over the last minute; 0 where the kernel does not tell.
pub(crate) fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stall_changes_no_ratio() {
        let mut pairs = vec![(100, 150); 100];
        pairs[7] = (100, 50_000_000);
        let ratio = PairedRatio::of(&pairs).expect("enough pairs");
        assert!((ratio.ratio - 1.5).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.ratio_highest_block - 1.5).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn a_ratio_that_wavers_shows_it_in_its_blocks() {
        let mut pairs = vec![(100, 120); 50];
        pairs.extend([(100, 200); 50]);
        let ratio = PairedRatio::of(&pairs).expect("enough pairs");
        assert!((ratio.ratio_lowest_block - 1.2).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.ratio_highest_block - 2.0).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn a_ratio_lies_among_its_blocks_also_when_slow_and_fast_times_take_turns() {
        // Most of `direct` is fast, most of `proxied` is slow; no pair differs by more than 8.
        let mut pairs = vec![(12, 96); 30];
        pairs.extend([(12, 24); 25]);
        pairs.extend([(80, 100); 45]);
        let ratio = PairedRatio::of(&pairs).expect("enough pairs");
        assert!(
            (ratio.ratio_lowest_block..=ratio.ratio_highest_block).contains(&ratio.ratio),
            "{ratio:?}"
        );
        assert!((ratio.ratio - 2.0).abs() < 1e-9, "{ratio:?}");
        assert!(ratio.wavers());
    }

    #[test]
    fn a_smoke_run_has_no_ratio() {
        assert_eq!(PairedRatio::of(&[(1, 2)]), None);
    }
}
