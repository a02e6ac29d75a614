//! What a subject promises to tell of itself: events in its log, figures, traces.

use super::error::{ManifestError, Source};
use super::promises::with_groups;
use super::sections::LogPattern;
use regex::Regex;
use serde::{Deserialize, Deserializer, de};
use touchstone_core::exposition::Selector;

/// `[logs.structure]`: what every line of the log is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogStructure {
    /// Each line is a JSON object with these fields.
    #[serde(default)]
    pub json_fields: Vec<String>,
    /// Each line matches this.
    pub line: Option<LogPattern>,
}

impl LogStructure {
    pub(super) fn validate(&self, source: &Source<'_>) -> Result<(), ManifestError> {
        if self.json_fields.is_empty() == self.line.is_none() {
            let problem = "expected either `json_fields`, the fields of every line, or `line`, a regular expression";
            return Err(source.error_at("logs.structure", problem));
        }
        Ok(())
    }
}

/// A regular expression with the groups `attempt` and `delay_ms`.
#[derive(Debug, Clone)]
pub struct ReconnectingPattern(pub Regex);

impl<'de> Deserialize<'de> for ReconnectingPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let example = r"reconnecting, attempt (?P<attempt>\d+) in (?P<delay_ms>\d+) ms";
        with_groups(deserializer, &["attempt", "delay_ms"], example).map(Self)
    }
}

/// `[trace]`: how a request is followed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSection {
    /// The header of an answer that holds the id of its trace.
    pub answer_header: String,
    /// A line of the log that is about a request; the group `trace_id` captures the id.
    pub logged: TracePattern,
}

/// A regular expression with a group `trace_id`.
#[derive(Debug, Clone)]
pub struct TracePattern(pub Regex);

impl<'de> Deserialize<'de> for TracePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let example = r"trace_id=(?P<trace_id>[0-9a-f]{32})";
        with_groups(deserializer, &["trace_id"], example).map(Self)
    }
}

/// `[metrics]`: what the subject shows to Prometheus. Each figure is the sum of the series that match.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSection {
    /// Where it is shown.
    pub path: String,
    /// 1 while there is a connection to Redis, else 0.
    pub connected: Figure,
    /// Counts what failed between the subject and Redis: calls, attempts to connect.
    pub errors: Figure,
    /// Counts connections to Redis that were had again after a loss.
    pub reconnects: Figure,
    /// Counts attempts to connect to Redis after a loss.
    pub attempts: Option<Figure>,
    /// A histogram of the commands' durations, and how it is read.
    pub commands: CommandsSection,
    /// How reads through the cache were answered.
    pub cache: Option<CacheFigures>,
}

/// `[metrics.commands]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandsSection {
    /// The name of the histogram, without `_count`.
    pub histogram: String,
    /// The label with the name of the command, in any case.
    pub label: String,
    /// Its unit, in seconds: 1 for seconds, 0.001 for milliseconds.
    #[serde(default = "one")]
    pub unit_seconds: f64,
}

fn one() -> f64 {
    1.0
}

/// `[metrics.cache]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheFigures {
    /// Reads answered by an entry.
    pub hits: Figure,
    /// Reads answered by the note that there is no such thing; without it they are among the hits.
    pub absent_hits: Option<Figure>,
    /// Reads that found nothing.
    pub misses: Figure,
    /// Reads that could not ask the cache; without it they are among the misses.
    pub fallbacks: Option<Figure>,
}

/// Which series make a figure: `name` or `name{label="value"}`.
#[derive(Debug, Clone)]
pub struct Figure(pub Selector);

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |problem| {
            de::Error::custom(format!(
                "`{text}`: {problem}; expected for instance `hits_total` or `lookups_total{{result=\"hit\"}}`"
            ))
        };
        text.parse().map(Self).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use crate::subject::manifest::Manifest;
    use std::path::Path;

    const LEAST: &str = "[subject]\nname = \"x\"\ncommand = [\"true\"]\nport = 8080\n";

    fn error(section: &str) -> String {
        Manifest::parse(Path::new("m.toml"), &format!("{LEAST}{section}"))
            .expect_err("it is wrong")
            .to_string()
    }

    #[test]
    fn a_figure_that_names_no_series_is_named_with_an_example() {
        let text = error("[metrics]\npath = \"/m\"\nconnected = \"up{x\"\n");
        assert!(text.starts_with("m.toml:7: `metrics.connected`"), "{text}");
        assert!(text.contains("hits_total"), "{text}");
    }

    #[test]
    fn a_structure_says_what_a_line_is_in_one_way() {
        let text = error("[logs.structure]\n");
        assert!(text.starts_with("m.toml:5: `logs.structure`"), "{text}");
        let text = error("[logs.structure]\njson_fields = [\"level\"]\nline = \"x\"\n");
        assert!(text.contains("json_fields"), "{text}");
    }

    #[test]
    fn a_pattern_without_one_of_its_groups_is_named_with_an_example() {
        let text = error("[logs]\nreconnecting = '(?P<attempt>.)'\n");
        assert!(text.starts_with("m.toml:6: `logs.reconnecting`"), "{text}");
        assert!(text.contains("no group `delay_ms`"), "{text}");
    }
}
