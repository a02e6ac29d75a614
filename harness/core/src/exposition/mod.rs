//! What a service shows to Prometheus: a text of samples, read strictly.
//!
//! Prometheus' own text format (0.0.4) and OpenMetrics (1.0). Of the crates for it, the one that is kept
//! splits labels at every comma and leaves out what it cannot read; a gate must say that a line is wrong.

mod line;
mod selector;
#[cfg(test)]
mod tests;

pub use selector::Selector;

use line::{Line, SampleLine};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A text that is no such exposition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the metrics: {problem}: `{text}`")]
pub struct ExpositionError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
    /// The line itself.
    pub text: String,
}

/// Name and labels: what a time series is known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The name.
    pub name: String,
    /// The labels, by name.
    pub labels: BTreeMap<String, String>,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.labels.is_empty() {
            return Ok(());
        }
        let label = |(name, value): (&String, &String)| format!("{name}={value:?}");
        let labels: Vec<String> = self.labels.iter().map(label).collect();
        write!(f, "{{{}}}", labels.join(","))
    }
}

/// One scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposition {
    types: BTreeMap<String, String>,
    samples: BTreeMap<Series, f64>,
}

/// A histogram of one set of labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistogramSeen {
    /// How many were observed.
    pub count: f64,
    /// Their sum, in the unit of the metric.
    pub sum: f64,
}

impl Exposition {
    /// Reads a text to its end.
    pub fn parse(text: &str) -> Result<Self, ExpositionError> {
        let mut read = Self::default();
        for (index, line) in text.lines().enumerate() {
            let wrong = |problem: String| ExpositionError {
                line: index + 1,
                problem,
                text: line.to_owned(),
            };
            match line::parse(line).map_err(wrong)? {
                Line::Nothing => {}
                Line::Type { name, kind } => {
                    if read.types.insert(name, kind).is_some() {
                        return Err(wrong("a second type of one metric".to_owned()));
                    }
                }
                Line::Sample(SampleLine { series, value }) => {
                    if read.samples.insert(series, value).is_some() {
                        return Err(wrong("a second sample of one series".to_owned()));
                    }
                }
            }
        }
        Ok(read)
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Every series, with its value.
    pub fn samples(&self) -> impl Iterator<Item = (&Series, f64)> {
        self.samples.iter().map(|(series, value)| (series, *value))
    }

    /// The sum of the series that match; `None` if none does.
    pub fn sum(&self, selector: &Selector) -> Option<f64> {
        let matching = self
            .samples()
            .filter(|(series, _)| selector.matches(series));
        matching.fold(None, |sum, (_, value)| Some(sum.unwrap_or(0.0) + value))
    }

    /// The values that a label has among the series of a histogram, each with what was observed there.
    pub fn histograms(&self, name: &str, label: &str) -> BTreeMap<String, HistogramSeen> {
        let mut seen: BTreeMap<String, HistogramSeen> = BTreeMap::new();
        let (count, sum) = (format!("{name}_count"), format!("{name}_sum"));
        for (series, value) in self.samples() {
            let Some(of) = series.labels.get(label) else {
                continue;
            };
            let empty = HistogramSeen {
                count: 0.0,
                sum: 0.0,
            };
            if series.name == count {
                seen.entry(of.clone()).or_insert(empty).count += value;
            } else if series.name == sum {
                seen.entry(of.clone()).or_insert(empty).sum += value;
            }
        }
        seen
    }

    /// Histograms that contradict themselves: buckets that fall, or a last one that is not the count.
    pub fn crooked_histograms(&self) -> Vec<String> {
        let mut buckets: BTreeMap<Series, Vec<(f64, f64)>> = BTreeMap::new();
        for (series, value) in self.samples() {
            let Some(name) = series.name.strip_suffix("_bucket") else {
                continue;
            };
            let mut labels = series.labels.clone();
            let Some(bound) = labels.remove("le").and_then(|le| line::number(&le)) else {
                continue;
            };
            let name = format!("{name}_count");
            let count = Series { name, labels };
            buckets.entry(count).or_default().push((bound, value));
        }
        let mut crooked = Vec::new();
        for (count, mut of_one) in buckets {
            of_one.sort_by(|a, b| a.0.total_cmp(&b.0));
            let falls = of_one.windows(2).any(|pair| pair[1].1 < pair[0].1);
            let last = of_one.last().filter(|(bound, _)| *bound == f64::INFINITY);
            if falls || last.map(|(_, value)| *value) != self.samples.get(&count).copied() {
                crooked.push(format!("{count}: {of_one:?}"));
            }
        }
        crooked
    }

    /// What only ever rises and has fallen since, or is gone.
    pub fn fallen_since(&self, earlier: &Exposition) -> Vec<String> {
        let rising: BTreeSet<&str> = self.rising_names().chain(earlier.rising_names()).collect();
        let mut fallen = Vec::new();
        for (series, before) in earlier.samples() {
            if !rising.contains(series.name.as_str()) {
                continue;
            }
            match self.samples.get(series) {
                Some(now) if *now >= before => {}
                Some(now) => fallen.push(format!("{series} from {before} to {now}")),
                None => fallen.push(format!("{series} is gone, it was {before}")),
            }
        }
        fallen
    }

    /// Names of counters, and of the parts of histograms; in OpenMetrics the type stands under the name
    /// without `_total`.
    fn rising_names(&self) -> impl Iterator<Item = &str> {
        let kind = |name: &str| self.types.get(name).map(String::as_str);
        let is_rising = move |name: &&str| {
            let counter = name.strip_suffix("_total").unwrap_or(name);
            let part = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            kind(name) == Some("counter")
                || kind(counter) == Some("counter")
                || part.and_then(kind) == Some("histogram")
        };
        let names = self.samples.keys().map(|series| series.name.as_str());
        names.filter(is_rising)
    }
}
