//! How often each command came, and how often the server refused it.

use std::collections::BTreeMap;

/// Names come from the wire: what comes beyond so many is counted together, as [`OTHER`].
const NAMES_MAX: usize = 512;

/// No command has small letters.
const OTHER: &str = "other";

/// One command of a proxy, since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommandTotal {
    /// How often it came.
    pub commands: u64,
    /// How often its reply was an error.
    pub errors: u64,
}

#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<String, CommandTotal>);

impl Totals {
    pub(super) fn command(&mut self, name: &str) {
        self.change(name, |total| total.commands += 1);
    }

    pub(super) fn refused(&mut self, name: &str) {
        self.change(name, |total| total.errors += 1);
    }

    pub(super) fn get(&self) -> BTreeMap<String, CommandTotal> {
        self.0.clone()
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut CommandTotal)) {
        if let Some(known) = self.0.get_mut(name) {
            return change(known);
        }
        let is_full = self.0.len() >= NAMES_MAX;
        let name = if is_full { OTHER } else { name };
        change(self.0.entry(name.to_owned()).or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_invents_names_does_not_fill_the_memory() {
        let mut totals = Totals::default();
        for index in 0..3 * NAMES_MAX {
            totals.command(&format!("COMMAND{index}"));
        }
        let totals = totals.get();
        assert_eq!(totals.len(), NAMES_MAX + 1);
        assert_eq!(totals[OTHER].commands, 2 * NAMES_MAX as u64);
    }
}
