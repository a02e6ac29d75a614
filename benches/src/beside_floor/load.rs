//! The load: `wrk`, and `redis-benchmark` where Redis itself is asked.

use super::Kind;
use crate::BenchError;
use crate::baseline::rounded;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// What is read and written.
pub(super) const VALUE_BYTES: usize = 100;
pub(super) const KEY: &str = "load";

/// Tells what it saw as one line of JSON, which is more exact than its own summary.
const DONE: &str = r#"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\n{"requests":%d,"duration_us":%d,"failed":%d,"p50_us":%.1f,"p99_us":%.1f,"max_us":%.1f}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.timeout + e.status,
    latency:percentile(50), latency:percentile(99), latency.max))
end
"#;

/// What one server has answered.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// Requests a second.
    pub per_second: f64,
    /// Half of them took at most so long.
    pub p50_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// What the server's process has spent on a processor for each; `None` if the kernel does not tell.
    pub cpu_us: Option<f64>,
}

/// What `redis-benchmark` says.
#[derive(Debug, Clone, Serialize)]
pub struct RedisSeen {
    /// Half of the round trips took at most so long.
    pub p50_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
}

#[derive(Debug, Deserialize)]
struct Summary {
    requests: u64,
    duration_us: u64,
    failed: u64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

/// The programs.
#[derive(Debug)]
pub(super) struct Tools {
    wrk: PathBuf,
    redis_benchmark: Option<PathBuf>,
}

impl Tools {
    /// `None` without `wrk`.
    pub(super) fn find() -> Option<Self> {
        Some(Self {
            wrk: on_path("wrk")?,
            redis_benchmark: on_path("redis-benchmark"),
        })
    }

    /// Leaves the scripts for each kind of request in a directory.
    pub(super) fn write_scripts(dir: &Path) -> Result<(), BenchError> {
        for kind in Kind::ALL {
            let request = match kind {
                Kind::Set => format!(
                    "wrk.method = 'PUT'\nwrk.body = '{}'\n",
                    "x".repeat(VALUE_BYTES)
                ),
                Kind::Get | Kind::Hit => String::new(),
            };
            let path = script(dir, kind);
            std::fs::write(&path, request + DONE).map_err(BenchError::file(&path))?;
        }
        Ok(())
    }

    /// Asks; `cpu` tells what the server has spent so far.
    pub(super) fn ask(
        &self,
        (scripts, kind): (&Path, Kind),
        url: &str,
        (clients, seconds): (usize, u64),
        cpu: impl Fn() -> Option<Duration>,
    ) -> Result<Asked, BenchError> {
        let before = cpu();
        let output = run(
            Command::new(&self.wrk)
                .args(["--threads", "1", "--connections", &clients.to_string()])
                .args(["--duration", &format!("{seconds}s"), "--script"])
                .arg(script(scripts, kind))
                .arg(url),
            &self.wrk,
        )?;
        let spent = before.and_then(|before| Some(cpu()?.saturating_sub(before)));
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.starts_with('{'));
        let summary: Option<Summary> = line.and_then(|line| serde_json::from_str(line).ok());
        let Some(summary) = summary.filter(|seen| seen.failed == 0 && seen.requests > 0) else {
            return Err(BenchError::wrong(
                format!("only good answers from {url}"),
                text.trim(),
            ));
        };
        let each = |spent: Duration| rounded(spent.as_secs_f64() * 1e6 / summary.requests as f64);
        Ok(Asked {
            per_second: rounded(summary.requests as f64 * 1e6 / summary.duration_us as f64),
            p50_us: rounded(summary.p50_us),
            p99_us: rounded(summary.p99_us),
            max_us: rounded(summary.max_us),
            cpu_us: spent.map(each),
        })
    }

    /// GET of the same value, one connection; `None` without the program.
    pub(super) fn ask_redis(
        &self,
        address: SocketAddr,
        password: &str,
        requests: u32,
    ) -> Result<Option<RedisSeen>, BenchError> {
        let Some(program) = &self.redis_benchmark else {
            return Ok(None);
        };
        let output = run(
            Command::new(program)
                .args(["-h", &address.ip().to_string()])
                .args(["-p", &address.port().to_string()])
                .args(["-c", "1", "-n", &requests.to_string(), "--csv"])
                // Readable by everybody, as redis-benchmark 7.0 takes it in no other way; it guards nothing here.
                .args(["-a", password])
                .args(["GET", &format!("kv:{KEY}")]),
            program,
        )?;
        let text = String::from_utf8_lossy(&output.stdout);
        match percentiles(&text) {
            Some(seen) => Ok(Some(seen)),
            None => Err(BenchError::wrong(
                "the percentiles of redis-benchmark",
                text.trim(),
            )),
        }
    }
}

/// By the names of the columns.
fn percentiles(csv: &str) -> Option<RedisSeen> {
    let fields = |line: &str| -> Vec<String> {
        let plain = |field: &str| field.trim().trim_matches('"').to_owned();
        line.split("\",\"").map(plain).collect()
    };
    let mut lines = csv.lines().filter(|line| line.starts_with('"'));
    let (names, values) = (fields(lines.next()?), fields(lines.next()?));
    let micros = |name: &str| {
        let place = names.iter().position(|known| known == name)?;
        let ms: f64 = values.get(place)?.parse().ok()?;
        Some(rounded(ms * 1000.0))
    };
    Some(RedisSeen {
        p50_us: micros("p50_latency_ms")?,
        p99_us: micros("p99_latency_ms")?,
    })
}

fn script(dir: &Path, kind: Kind) -> PathBuf {
    dir.join(format!("{kind:?}.lua").to_lowercase())
}

fn run(command: &mut Command, program: &Path) -> Result<Output, BenchError> {
    let failed = |source| BenchError::Child {
        program: program.to_owned(),
        source,
    };
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(failed)?;
    if output.status.success() {
        return Ok(output);
    }
    Err(BenchError::wrong(
        format!("{} to succeed", program.display()),
        output.status.to_string(),
    ))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|dir| dir.join(name));
    places.find(|place| place.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_read_by_the_names_of_their_columns() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
                   \"GET kv:load\",\"33333.33\",\"0.027\",\"0.016\",\"0.023\",\"0.039\",\"0.063\",\"0.415\"\n";
        let seen = percentiles(csv).expect("two lines");
        assert_eq!((seen.p50_us, seen.p99_us), (23.0, 63.0));
        assert!(percentiles("ERROR: no\n").is_none());
    }
}
