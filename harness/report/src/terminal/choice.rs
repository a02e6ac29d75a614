//! What a terminal is asked for, and what it can do.

use console::Term;
use std::env;

/// Whether to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    #[default]
    Auto,
    /// Also into a pipe.
    Always,
    /// Nowhere.
    Never,
}

/// Whether to draw live progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProgressChoice {
    /// On a terminal, unless it is dumb or `CI` is set (some CI systems offer a terminal that only
    /// their log reads).
    #[default]
    Auto,
    /// Plain lines everywhere.
    Plain,
}

/// How much is told while the run goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Each finished scenario.
    #[default]
    Normal,
    /// Steps and faults too, and all evidence at the end.
    Verbose,
}

/// What there is to write to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Surroundings {
    pub(super) is_terminal: bool,
    pub(super) is_utf8: bool,
    is_dumb: bool,
    is_ci: bool,
    no_color: bool,
}

impl Surroundings {
    pub(super) fn of(terminal: &Term) -> Self {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        // The first of them that is set decides, as in setlocale(3).
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .filter_map(|name| env::var(name).ok())
            .find(|value| !value.is_empty())
            .unwrap_or_default()
            .to_ascii_lowercase();
        Self {
            is_terminal: terminal.is_term(),
            is_utf8: locale.contains("utf-8") || locale.contains("utf8"),
            is_dumb: env::var_os("TERM").is_none_or(|term| term == "dumb"),
            is_ci: is_set("CI"),
            no_color: is_set("NO_COLOR"),
        }
    }
}

impl ColorChoice {
    pub(super) fn is_on(self, around: &Surroundings) -> bool {
        match self {
            ColorChoice::Auto => around.is_terminal && !around.no_color && !around.is_dumb,
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        }
    }
}

impl ProgressChoice {
    pub(super) fn is_live(self, around: &Surroundings) -> bool {
        self == ProgressChoice::Auto && around.is_terminal && !around.is_dumb && !around.is_ci
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: Surroundings = Surroundings {
        is_terminal: true,
        is_utf8: true,
        is_dumb: false,
        is_ci: false,
        no_color: false,
    };

    #[test]
    fn progress_and_colours_are_for_terminals_that_somebody_watches() {
        let pipe = Surroundings::default();
        let no_color = Surroundings {
            no_color: true,
            ..TERMINAL
        };
        let dumb = Surroundings {
            is_dumb: true,
            ..TERMINAL
        };
        let ci = Surroundings {
            is_ci: true,
            ..TERMINAL
        };
        let table = [
            ("terminal", TERMINAL, true, true),
            ("pipe", pipe, false, false),
            ("NO_COLOR", no_color, true, false),
            ("dumb", dumb, false, false),
            ("CI", ci, false, true),
        ];
        for (name, around, live, color) in table {
            assert_eq!(ProgressChoice::Auto.is_live(&around), live, "{name}");
            assert_eq!(ColorChoice::Auto.is_on(&around), color, "{name}");
            assert!(!ProgressChoice::Plain.is_live(&around), "{name}");
            assert!(ColorChoice::Always.is_on(&around), "{name}");
            assert!(!ColorChoice::Never.is_on(&around), "{name}");
        }
    }
}
