//! Which series are meant: a name, and the labels that they must have.

use super::{Series, line};
use std::fmt;
use std::str::FromStr;

/// `name{label="value"}`: every series of that name that has these labels, whatever others it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Series);

impl Selector {
    /// The name of the series.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether a series is meant.
    pub fn matches(&self, series: &Series) -> bool {
        let mut wanted = self.0.labels.iter();
        self.0.name == series.name
            && wanted.all(|(label, value)| series.labels.get(label) == Some(value))
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match line::series(text.trim()) {
            Ok((series, "")) => Ok(Self(series)),
            Ok((_, rest)) => Err(format!("`{rest}` behind the name of a metric")),
            Err(problem) => Err(problem),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
