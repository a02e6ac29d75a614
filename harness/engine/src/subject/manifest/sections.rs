//! The sections of the manifest.

use super::observe::{LogStructure, ReconnectingPattern};
use super::operation::JsonPointer;
use super::promises::{SlowPattern, with_groups};
use super::template::Template;
use crate::store::StoreKind;
use regex::Regex;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;

/// `[subject]`: how the service is started.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectSection {
    /// The name in reports.
    pub name: String,
    /// Program and arguments. A program with a slash is relative to `working_dir`.
    pub command: Vec<Template>,
    /// Where it runs, relative to the manifest. Default: the manifest's directory.
    #[serde(default)]
    pub working_dir: PathBuf,
    /// Its whole environment but for PATH and HOME, with placeholders for addresses and credentials.
    #[serde(default)]
    pub env: BTreeMap<String, Template>,
    /// A path that answers 200 when the service is ready.
    #[serde(default = "default_ready_path")]
    pub ready_path: String,
    /// The loopback port that it always listens on, where it cannot be told another one by `{http.port}`. Then one
    /// scenario runs at a time, and those that need a second instance are skipped.
    pub port: Option<NonZeroU16>,
}

fn default_ready_path() -> String {
    "/health".to_owned()
}

/// `[stores]`: what the stores hold before the subject starts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoresSection {
    /// The number of the Redis database, 0 to 15.
    #[serde(default)]
    pub redis_database: i64,
    /// SQL that is run on the fresh database, relative to the manifest.
    pub postgres_schema: Option<PathBuf>,
    /// A container image for Redis, instead of the default.
    pub redis_image: Option<String>,
    /// A container image for Postgres, instead of the default.
    pub postgres_image: Option<String>,
    /// A registry to put before the default images' names.
    pub registry_prefix: Option<String>,
}

/// `[logs]`: how log lines are recognised. Regular expressions, matched against one line each.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogsSection {
    /// Redis was connected; the group `version` captures the server's version.
    pub connected: Option<VersionPattern>,
    /// What every line is.
    pub structure: Option<LogStructure>,
    /// A connection to Redis is about to be made, at start.
    pub connecting: Option<LogPattern>,
    /// Something went wrong between the service and Redis.
    pub redis_error: Option<LogPattern>,
    /// An attempt to reconnect is due; the groups `attempt` (from 1) and `delay_ms` say which, and when.
    pub reconnecting: Option<ReconnectingPattern>,
    /// The Redis connection is back after an outage.
    pub restored: Option<LogPattern>,
    /// A line of level error.
    pub error: Option<LogPattern>,
    /// So many attempts to reconnect were in vain that it is told as an error.
    pub exhausted: Option<LogPattern>,
    /// A Redis command was slow; the groups `command`, `key` and `duration_ms` say which, and how slow.
    pub slow_command: Option<SlowPattern>,
    /// Environment by which the subject logs all that it can.
    #[serde(default)]
    pub verbose: BTreeMap<String, String>,
    /// A shutdown has begun.
    pub shutdown: Option<LogPattern>,
    /// A shutdown had to be forced.
    pub forced: Option<LogPattern>,
}

/// A regular expression for log lines, or for statements.
#[derive(Debug, Clone)]
pub struct LogPattern(pub Regex);

impl<'de> Deserialize<'de> for LogPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong =
            |error| de::Error::custom(format!("`{text}` is no regular expression: {error}"));
        Regex::new(&text).map(Self).map_err(wrong)
    }
}

/// A regular expression with a group `version`.
#[derive(Debug, Clone)]
pub struct VersionPattern(pub Regex);

impl<'de> Deserialize<'de> for VersionPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        with_groups(deserializer, &["version"], "version=(?P<version>[0-9.]+)").map(Self)
    }
}

/// `[exit_codes]`: what the subject promises to end with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExitCodesSection {
    /// After a clean shutdown.
    pub clean: i32,
    /// When a store cannot be reached, or refuses, at start; and when a shutdown had to be forced.
    pub failure: i32,
    /// When the configuration is wrong.
    pub bad_configuration: i32,
}

impl Default for ExitCodesSection {
    fn default() -> Self {
        Self {
            clean: 0,
            failure: 1,
            bad_configuration: 2,
        }
    }
}

/// `[health]`: the health document.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthSection {
    /// Its path.
    pub path: String,
    /// The HTTP status when all is well.
    pub ok_status: u16,
    /// The HTTP status when a store is away.
    pub degraded_status: u16,
    /// Where the overall state stands.
    pub state: JsonPointer,
    /// The overall state when all is well.
    pub ok: String,
    /// The overall state when a store is away.
    pub degraded: String,
    /// Where the state of Redis stands.
    pub redis: JsonPointer,
    /// Where the state of Postgres stands.
    pub postgres: JsonPointer,
    /// A store's state when it is there.
    pub connected: String,
    /// A store's state when it is away.
    pub disconnected: String,
    /// Where the time of the document stands, ISO 8601 in UTC.
    pub timestamp: Option<JsonPointer>,
    /// How long the check of Redis may take before Redis counts as away, in milliseconds.
    pub redis_timeout_ms: Option<u64>,
    /// A path that answers `ok_status` as long as the process lives, whatever the stores do.
    pub live_path: Option<String>,
    /// A path that answers `ok_status` while both stores are there, else `degraded_status`.
    pub ready_path: Option<String>,
}

/// `[deadlines]`, in milliseconds. What is not given has the criterion's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// From the start of the process until it is ready.
    pub ready_ms: u64,
    /// From the start of the process until it has given up on a store that cannot be reached.
    pub start_failure_ms: u64,
    /// Any answer of the health endpoint.
    pub health_answer_ms: u64,
    /// From the loss of a store until health shows it.
    pub health_notice_ms: u64,
    /// From the readiness of a store until the service has it back: one backoff cap and a second.
    pub recover_ms: u64,
    /// From the loss of a connection while the server serves, or from the first command on one that is
    /// dead, until another has replaced it: a response timeout and a reconnect.
    pub replace_ms: u64,
    /// Any answer of a route while a store is away.
    pub degraded_answer_ms: u64,
    /// From the signal until the process has ended.
    pub shutdown_ms: u64,
    /// Any other answer.
    pub answer_ms: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            ready_ms: 10_000,
            start_failure_ms: 5_000,
            health_answer_ms: 1_000,
            health_notice_ms: 1_000,
            recover_ms: 6_000,
            replace_ms: 1_000,
            degraded_answer_ms: 1_000,
            shutdown_ms: 10_000,
            answer_ms: 5_000,
        }
    }
}

/// `[policy]`: what the merge profile accepts by name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySection {
    /// Deadlines looser than the criterion's default, each with the reason why that is accepted.
    #[serde(default)]
    pub accept_looser: BTreeMap<String, String>,
}

/// `[[bad_configuration]]`: environment that must be refused before any connection.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BadConfiguration {
    /// What is set, over the environment of `[subject]`.
    pub env: BTreeMap<String, String>,
    /// What the error must contain, for instance the variable's name and what it accepts.
    pub error_contains: Vec<String>,
}

/// `[keys]`: under which Redis keys values lie, where a criterion has to look.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysSection {
    /// The key of a key-value entry: `{key}`.
    pub kv: Option<Template>,
    /// The key of a cached entity: `{id}`.
    pub entity: Option<Template>,
    /// The key of a person's cached data: `{id}` and, where there are tenants, `{tenant}`.
    pub personal: Option<Template>,
    /// The key of a limiter's counter: `{user}`, `{endpoint}`.
    pub limiter: Option<Template>,
    /// The key of what `[limiter.sliding]` keeps: `{user}`, `{endpoint}`.
    pub limiter_sliding: Option<Template>,
}

/// `[kv]`: input limits of the key-value operations.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvSection {
    /// The longest key, in bytes.
    pub key_max_bytes: usize,
    /// The largest body, in bytes.
    pub body_max_bytes: usize,
}

/// `[mutants]`: known defects that can be switched on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MutantsSection {
    /// The environment variable that takes a defect's name.
    pub env: String,
    /// For each defect the criterion that must catch it.
    pub caught_by: BTreeMap<String, String>,
}

/// The store that a placeholder of the subject's environment is about, if any.
pub(super) fn environment_placeholders() -> Vec<String> {
    let of_store = |kind: StoreKind| {
        ["host", "port", "user", "password", "database"].map(|field| format!("{kind}.{field}"))
    };
    let own = ["http.port", "instance", "private.dir"].map(str::to_owned);
    StoreKind::ALL
        .into_iter()
        .flat_map(of_store)
        .chain(own)
        .collect()
}
