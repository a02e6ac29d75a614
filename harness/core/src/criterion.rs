//! An acceptance criterion: a stable id, what must be seen, and the profile in which it first runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One row of `docs/CRITERIA.md`. The id names the scenario, the JUnit case, the row of the report
/// and the mutant that the scenario kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Criterion {
    /// Stable id, `AREA-NUMBER`, for instance `HLTH-2`.
    pub id: &'static str,
    /// What an outside observer must see, in one sentence.
    pub statement: &'static str,
    /// The first profile that runs it.
    pub profile: Profile,
}

impl Criterion {
    /// The part of the id before the hyphen, for instance `HLTH`.
    pub fn area(&self) -> &'static str {
        self.id.split_once('-').map_or(self.id, |(area, _)| area)
    }

    /// Whether a command-line filter selects this criterion: its id or its area, in any case.
    pub fn matches(&self, filter: &str) -> bool {
        self.id.eq_ignore_ascii_case(filter) || self.area().eq_ignore_ascii_case(filter)
    }
}

/// Which criteria a run demands. Each profile contains the ones before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Before a merge: fast, and no skip that the manifest does not declare.
    Merge,
    /// Before a release: everything.
    Release,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Profile::Merge => "merge",
            Profile::Release => "release",
        })
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "merge" => Ok(Profile::Merge),
            "release" => Ok(Profile::Release),
            other => Err(format!(
                "unknown profile `{other}`; expected `merge` or `release`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HLTH_2: Criterion = Criterion {
        id: "HLTH-2",
        statement: "Redis stopped: 503.",
        profile: Profile::Merge,
    };

    #[test]
    fn a_filter_selects_by_id_or_area_but_not_by_prefix() {
        assert!(HLTH_2.matches("hlth-2"));
        assert!(HLTH_2.matches("HLTH"));
        assert!(!HLTH_2.matches("HLTH-21"));
        assert!(!HLTH_2.matches("HL"));
    }
}
