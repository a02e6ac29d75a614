//! The sections about coming back: when the subject tries to reconnect, and what it runs as scripts.

use super::error::{ManifestError, Source};
use super::operation::OperationTemplate;
use super::operation_name::OperationName;
use super::template::Template;
use serde::Deserialize;
use std::collections::BTreeMap;
use touchstone_core::check::backoff::{Jitter, Schedule};

/// `[backoff]`: when attempts to reconnect to Redis are made. The nominal delay before the first is
/// `base_ms`, then each is `factor` times as long, at most `cap_ms`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackoffSection {
    /// The first nominal delay, in milliseconds.
    pub base_ms: u64,
    /// What each nominal delay is multiplied by to give the next.
    #[serde(default = "default_factor")]
    pub factor: f64,
    /// The longest nominal delay, in milliseconds.
    pub cap_ms: u64,
    /// How far delays stray from the nominal one.
    pub jitter: JitterRange,
    /// The nominal delay before the very first attempt, in milliseconds, where that is another one (0:
    /// at once); the second attempt then comes after `base_ms`.
    pub first_ms: Option<u64>,
    /// How many attempts in a row fail until an error is logged; from then on there is one per cap.
    #[serde(default = "default_attempts")]
    pub attempts: usize,
    /// Environment by which a run shortens an outage: `{base_ms}`, `{cap_ms}`, `{attempts}`.
    #[serde(default)]
    pub shorten: BTreeMap<String, Template>,
}

fn default_factor() -> f64 {
    2.0
}

fn default_attempts() -> usize {
    20
}

/// The range of delays, as parts of the nominal one.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JitterRange {
    /// The shortest.
    pub low: f64,
    /// The longest.
    pub high: f64,
    /// What may come on top of the longest, in milliseconds.
    #[serde(default)]
    pub extra_ms: u64,
}

/// `[scripts]`: operations that run a script in Redis.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptsSection {
    /// Which.
    pub operations: Vec<OperationName>,
}

const PLACEHOLDERS: [&str; 3] = ["base_ms", "cap_ms", "attempts"];

impl BackoffSection {
    /// The delays that it promises.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            base_us: self.base_ms * 1000,
            factor: self.factor,
            cap_us: self.cap_ms * 1000,
            jitter: Jitter {
                low: self.jitter.low,
                high: self.jitter.high,
                extra_us: self.jitter.extra_ms * 1000,
            },
            first_us: self.first_ms.map(|ms| ms * 1000),
        }
    }

    /// The same backoff with other delays, and the environment that makes it so; `None` if the manifest
    /// declares no way.
    pub fn shortened(&self, base_ms: u64, cap_ms: u64) -> Option<(Self, BTreeMap<String, String>)> {
        let value = |name: &str| match name {
            "base_ms" => Some(base_ms.to_string()),
            "cap_ms" => Some(cap_ms.to_string()),
            "attempts" => Some(self.attempts.to_string()),
            _ => None,
        };
        let fill = |(name, template): (&String, &Template)| (name.clone(), template.fill(value));
        let section = Self {
            base_ms,
            cap_ms,
            ..self.clone()
        };
        (!self.shorten.is_empty()).then(|| (section, self.shorten.iter().map(fill).collect()))
    }

    pub(super) fn validate(&self, source: &Source<'_>) -> Result<(), ManifestError> {
        let error = |key: &str, problem: &str| Err(source.error_at(key, problem));
        let JitterRange { low, high, .. } = self.jitter;
        if self.base_ms == 0 {
            return error(
                "backoff.base_ms",
                "expected at least 1; see `first_ms` for a first attempt at once",
            );
        }
        if self.cap_ms < self.base_ms {
            return error("backoff.cap_ms", "expected at least `base_ms`");
        }
        if !(1.0..=100.0).contains(&self.factor) {
            return error("backoff.factor", "expected 1 to 100");
        }
        if !(0.0..=100.0).contains(&low) || !(low..=100.0).contains(&high) {
            return error(
                "backoff.jitter",
                "expected `low` from 0, and `high` from `low`, to 100",
            );
        }
        if self.attempts == 0 {
            return error("backoff.attempts", "expected at least 1");
        }
        let mut used = self.shorten.values().flat_map(Template::placeholders);
        match used.find(|used| !PLACEHOLDERS.contains(used)) {
            None => Ok(()),
            Some(unknown) => {
                let problem = format!(
                    "unknown placeholder {{{unknown}}}; expected one of {{base_ms}}, {{cap_ms}}, {{attempts}}"
                );
                error("backoff.shorten", &problem)
            }
        }
    }
}

impl ScriptsSection {
    pub(super) fn validate(
        &self,
        operations: &BTreeMap<OperationName, OperationTemplate>,
        source: &Source<'_>,
    ) -> Result<(), ManifestError> {
        match self
            .operations
            .iter()
            .find(|name| !operations.contains_key(name))
        {
            None => Ok(()),
            Some(unmapped) => {
                let problem = format!(
                    "`{}` is not in `operations`; expected a mapped one",
                    unmapped.key()
                );
                Err(source.error_at("scripts.operations", problem))
            }
        }
    }
}
