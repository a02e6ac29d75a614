//! One file from criterion's many: the estimates of the last run with what they were measured on.

use crate::BenchError;
use crate::record::{BenchRun, PairedRatio, run_path};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Rises when a reader of old files would misread new ones.
const VERSION: u32 = 1;

/// The bench targets that leave a note.
const BENCHES: [&str; 2] = ["redis", "backend"];

/// Times that later ones can be compared with, on the same machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LatencyBaseline {
    /// The version of this format.
    pub version: u32,
    /// The command that made the file from criterion's.
    pub collected_with: String,
    /// The commit that was measured; `+` for changes that were not committed.
    pub commit: String,
    /// What a reader has to know to read the numbers right.
    pub remarks: Vec<String>,
    /// The runs, one a bench target.
    pub runs: Vec<BenchRun>,
    /// Through the proxy against direct, by group.
    pub ratios: BTreeMap<String, Ratios>,
    /// Times, by benchmark.
    pub benchmarks: BTreeMap<String, Estimates>,
}

/// The two ratios of a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ratios {
    /// Measured turn by turn: the one to use.
    pub interleaved: Option<PairedRatio>,
    /// The median of `proxied` by that of `direct`, measured seconds apart.
    pub adjacent: f64,
}

/// Criterion's estimates of one benchmark.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Estimates {
    /// Of the time of one operation.
    pub mean_us: Interval,
    /// The same.
    pub median_us: Interval,
    /// How much the samples differ.
    pub std_dev_us: f64,
}

/// An estimate with its confidence interval.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Interval {
    /// The estimate.
    pub point: f64,
    /// The interval's lower end.
    pub lower: f64,
    /// Its upper end.
    pub upper: f64,
    /// How sure the interval is.
    pub confidence: f64,
}

/// Criterion's `estimates.json`, in nanoseconds.
#[derive(Deserialize)]
struct CriterionEstimates {
    mean: CriterionEstimate,
    median: CriterionEstimate,
    std_dev: CriterionEstimate,
}

#[derive(Deserialize)]
struct CriterionEstimate {
    confidence_interval: CriterionInterval,
    point_estimate: f64,
}

#[derive(Deserialize)]
struct CriterionInterval {
    confidence_level: f64,
    lower_bound: f64,
    upper_bound: f64,
}

/// Criterion's `benchmark.json`.
#[derive(Deserialize)]
struct CriterionBenchmark {
    full_id: String,
}

/// Collects the last run of every bench target. Estimates that are older than their target's run are of
/// another one, and left out.
pub fn collect(
    criterion_dir: &Path,
    collected_with: String,
    commit: String,
    remarks: Vec<String>,
) -> Result<LatencyBaseline, BenchError> {
    let mut runs: Vec<BenchRun> = Vec::new();
    let mut benchmarks = BTreeMap::new();
    for bench in BENCHES {
        let path = run_path(criterion_dir, bench);
        if !path.exists() {
            continue;
        }
        let run: BenchRun = read(&path)?;
        let started_at = SystemTime::from(run.started_at);
        for dir in measured_dirs(&criterion_dir.join(bench))? {
            let path = dir.join("estimates.json");
            let metadata = std::fs::metadata(&path).map_err(BenchError::file(&path))?;
            let written_at = metadata.modified().map_err(BenchError::file(&path))?;
            if written_at >= started_at {
                let named: CriterionBenchmark = read(&dir.join("benchmark.json"))?;
                let found: CriterionEstimates = read(&path)?;
                benchmarks.insert(named.full_id, Estimates::from(found));
            }
        }
        runs.push(run);
    }
    if benchmarks.is_empty() {
        return Err(BenchError::NothingMeasured(criterion_dir.to_owned()));
    }
    let ratios = ratios(&runs, &benchmarks);
    Ok(LatencyBaseline {
        version: VERSION,
        collected_with,
        commit,
        remarks,
        runs,
        ratios,
        benchmarks,
    })
}

/// Every directory below that holds criterion's last estimates of a benchmark.
fn measured_dirs(below: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let mut found = Vec::new();
    let mut to_visit = vec![below.to_owned()];
    while let Some(dir) = to_visit.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(BenchError::file(&dir))?,
        };
        for entry in entries {
            let path = entry.map_err(BenchError::file(&dir))?.path();
            if path.ends_with("new") && path.join("estimates.json").is_file() {
                found.push(path);
            } else if path.is_dir() {
                to_visit.push(path);
            }
        }
    }
    Ok(found)
}

fn ratios(runs: &[BenchRun], benchmarks: &BTreeMap<String, Estimates>) -> BTreeMap<String, Ratios> {
    let interleaved = |group: &str| runs.iter().find_map(|run| run.ratios.get(group)).cloned();
    let ratio_of = |(id, proxied): (&String, &Estimates)| {
        let group = id.strip_suffix("/proxied")?;
        let direct = benchmarks.get(&format!("{group}/direct"))?;
        let ratios = Ratios {
            interleaved: interleaved(group),
            adjacent: rounded(proxied.median_us.point / direct.median_us.point),
        };
        Some((group.to_owned(), ratios))
    };
    benchmarks.iter().filter_map(ratio_of).collect()
}

impl From<CriterionEstimates> for Estimates {
    fn from(found: CriterionEstimates) -> Self {
        Self {
            mean_us: found.mean.into(),
            median_us: found.median.into(),
            std_dev_us: micros(found.std_dev.point_estimate),
        }
    }
}

impl From<CriterionEstimate> for Interval {
    fn from(found: CriterionEstimate) -> Self {
        let interval = found.confidence_interval;
        Self {
            point: micros(found.point_estimate),
            lower: micros(interval.lower_bound),
            upper: micros(interval.upper_bound),
            confidence: interval.confidence_level,
        }
    }
}

fn micros(nanos: f64) -> f64 {
    rounded(nanos / 1e3)
}

/// To a thousandth: what lies below is noise that makes a diff hard to read.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, BenchError> {
    let text = std::fs::read_to_string(path).map_err(BenchError::file(path))?;
    serde_json::from_str(&text).map_err(|source| BenchError::Format {
        path: path.to_owned(),
        source,
    })
}
