//! What a subject promises of its connections, its configuration and its behaviour without Redis.

use super::sections::LogPattern;
use super::template::Template;
use regex::Regex;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;

/// `[connections]`: how many connections one instance keeps.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionsSection {
    /// To Redis: 1 for one shared connection, or the size of the pool.
    pub redis_max: usize,
}

/// `[[good_configuration]]`: another way to say where Redis is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoodConfiguration {
    /// What is set over the environment of `[subject]`, with the same placeholders.
    pub env: BTreeMap<String, Template>,
    /// Variables of `[subject.env]` that are not set.
    #[serde(default)]
    pub unset: Vec<String>,
    /// The database that the keys are in then, 0 to 15.
    pub redis_database: i64,
}

/// How health shows a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShownAs {
    /// As there.
    Connected,
    /// As away.
    Disconnected,
}

/// A regular expression with the groups `command`, `key` and `duration_ms`.
#[derive(Debug, Clone)]
pub struct SlowPattern(pub Regex);

impl<'de> Deserialize<'de> for SlowPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let example = r"slow (?P<command>\w+) on (?P<key>\S+) took (?P<duration_ms>\d+)";
        with_groups(deserializer, &["command", "key", "duration_ms"], example).map(Self)
    }
}

/// A regular expression that has these groups; the error gives the example.
pub(super) fn with_groups<'de, D: Deserializer<'de>>(
    deserializer: D,
    groups: &[&str],
    example: &str,
) -> Result<Regex, D::Error> {
    let LogPattern(regex) = LogPattern::deserialize(deserializer)?;
    let has = |group: &&&str| regex.capture_names().flatten().any(|name| name == **group);
    match groups.iter().find(|group| !has(group)) {
        None => Ok(regex),
        Some(missing) => Err(de::Error::custom(format!(
            "`{regex}` has no group `{missing}`; expected for instance `{example}`"
        ))),
    }
}
