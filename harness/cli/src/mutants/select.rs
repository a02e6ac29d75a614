//! Which mutants are run: the manifest's, narrowed by filters, as far as this build has scenarios.

use crate::error::UsageError;
use touchstone_engine::scenario::Scenario;
use touchstone_engine::subject::Manifest;

/// A defect with the scenario that must catch it.
#[derive(Debug)]
pub(super) struct Mutant {
    pub(super) name: String,
    pub(super) scenario: Scenario,
    /// The environment variable that switches it on.
    pub(super) variable: String,
}

/// What was selected.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) mutants: Vec<Mutant>,
    /// Mutants whose criterion this build has no scenario for: name and criterion.
    pub(super) without_scenario: Vec<(String, String)>,
    /// Criteria of this build that no mutant of the manifest belongs to; empty under filters.
    pub(super) unproven: Vec<&'static str>,
}

/// Selects by mutant, criterion or area. A filter that selects nothing is an error.
pub(super) fn select(
    manifest: &Manifest,
    filters: &[String],
    for_list: bool,
) -> anyhow::Result<Selection> {
    let path = manifest.path.display();
    let Some(section) = &manifest.mutants else {
        anyhow::bail!(UsageError(format!(
            "{path} has no `[mutants]`: expected `env` and, under `[mutants.caught_by]`, each defect with its criterion"
        )));
    };
    let malformed = section.caught_by.iter().find(|(_, id)| !is_id(id));
    if let Some((name, id)) = malformed {
        anyhow::bail!(UsageError(format!(
            "{path}: `mutants.caught_by.{name}`: `{id}` is no criterion; expected an id like HLTH-2"
        )));
    }
    let pairs = section.caught_by.iter();
    let matches = |filter: &str, (name, id): (&String, &String)| {
        let area = id.split('-').next().unwrap_or(id);
        [name, id.as_str(), area]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(filter))
    };
    let unmatched = filters
        .iter()
        .find(|filter| !pairs.clone().any(|pair| matches(filter, pair)));
    if let Some(filter) = unmatched {
        let names: Vec<&str> = section.caught_by.keys().map(String::as_str).collect();
        anyhow::bail!(UsageError(format!(
            "the filter `{filter}` matches no mutant of {path}; expected a criterion, an area or one of {}",
            names.join(", ")
        )));
    }
    let mut selection = Selection {
        mutants: Vec::new(),
        without_scenario: Vec::new(),
        unproven: Vec::new(),
    };
    for pair @ (name, id) in pairs {
        if !filters.is_empty() && !filters.iter().any(|filter| matches(filter, pair)) {
            continue;
        }
        match scenario(id) {
            Some(scenario) => selection.mutants.push(Mutant {
                name: name.clone(),
                scenario,
                variable: section.env.clone(),
            }),
            None => selection.without_scenario.push((name.clone(), id.clone())),
        }
    }
    selection
        .mutants
        .sort_by_key(|mutant| place(mutant.scenario.criterion.id));
    if filters.is_empty() {
        let ids = touchstone_scenarios::all().map(|s| s.criterion.id);
        let is_unproven = |id: &&str| {
            !section
                .caught_by
                .values()
                .any(|known| known.eq_ignore_ascii_case(id))
        };
        selection.unproven = ids.filter(is_unproven).collect();
    }
    if selection.mutants.is_empty() && !for_list {
        anyhow::bail!(UsageError(format!(
            "nothing to run: this build has no scenario for {}",
            selection
                .without_scenario
                .iter()
                .map(|(_, id)| id.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        )));
    }
    Ok(selection)
}

fn scenario(id: &str) -> Option<Scenario> {
    touchstone_scenarios::all()
        .find(|s| s.criterion.id.eq_ignore_ascii_case(id))
        .copied()
}

fn place(id: &str) -> Option<usize> {
    touchstone_scenarios::all().position(|s| s.criterion.id == id)
}

/// Whether a text has the form of a criterion's id, `AREA-NUMBER`.
fn is_id(text: &str) -> bool {
    let is_area = |area: &str| !area.is_empty() && area.chars().all(|c| c.is_ascii_alphabetic());
    let is_number = |number: &str| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    text.split_once('-')
        .is_some_and(|(area, number)| is_area(area) && is_number(number))
}
