//! What the documents say of a criterion. They are the one source of it: `docs/CRITERIA.md` of how it is checked,
//! `docs/MANIFEST.md` of what it needs. Tests hold their words to the registry.

use std::str::FromStr;
use touchstone_core::Profile;

const CRITERIA: &str = include_str!("../../docs/CRITERIA.md");
const MANIFEST: &str = include_str!("../../docs/MANIFEST.md");

/// A row of `docs/CRITERIA.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The criterion's id.
    pub id: String,
    /// The title of its area, for instance `HLTH: health`.
    pub area: String,
    /// What must be seen.
    pub statement: String,
    /// How it is checked.
    pub how: String,
    /// The first profile that runs it, by its letter.
    pub profile: Option<Profile>,
}

/// A section, or an operation, of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What it is called in the manifest, for instance `[health]` or `operations.kv_get`.
    pub name: String,
    /// What it says; for an operation its placeholders and its result.
    pub told: String,
    /// Which criteria need it, as the document has it.
    pub by: String,
}

/// Every row, in the document's order.
pub fn rows() -> Vec<Row> {
    let mut area = String::new();
    let mut rows = Vec::new();
    for line in CRITERIA.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut area);
        }
        let [id, statement, how, profile] = cells(line).try_into().unwrap_or_default();
        if is_id(&id) {
            rows.push(Row {
                id,
                area: area.clone(),
                statement,
                how,
                profile: match profile.as_str() {
                    "M" => Some(Profile::Merge),
                    "R" => Some(Profile::Release),
                    _ => None,
                },
            });
        }
    }
    rows
}

/// What a criterion needs the manifest to say.
pub fn needs(id: &str) -> Vec<Need> {
    let mut needs = all_needs();
    needs.retain(|need| references(&need.by).iter().any(|by| by.covers(id)));
    needs
}

/// Every section and operation that some criterion needs.
pub fn all_needs() -> Vec<Need> {
    let mut needs = Vec::new();
    for line in MANIFEST.lines() {
        let cells = cells(line);
        match cells.as_slice() {
            [name, told, by] if name.starts_with("`[") => needs.push(Need {
                name: name.trim_matches('`').to_owned(),
                told: told.clone(),
                by: by.clone(),
            }),
            [names, placeholders, result, by] if names.starts_with('`') => {
                needs.extend(names.split(", ").map(|name| Need {
                    name: format!("operations.{}", name.trim_matches('`')),
                    told: told_of_operation(placeholders, result),
                    by: by.clone(),
                }));
            }
            _ => {}
        }
    }
    needs
}

fn told_of_operation(placeholders: &str, result: &str) -> String {
    match result {
        "" => format!("a request with {placeholders}"),
        result => format!("a request with {placeholders}; its result: {result}"),
    }
}

/// Criteria as a document names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// Every one.
    All,
    /// Those of an area, or one.
    Criteria(String),
}

impl Reference {
    /// Whether a criterion is meant.
    pub fn covers(&self, id: &str) -> bool {
        let area = id.split('-').next().unwrap_or(id);
        match self {
            Reference::All => true,
            Reference::Criteria(name) => name == id || name == area,
        }
    }
}

/// Reads `HLTH, KV-1, -3; all`: a number alone belongs to the area before it. What is no reference is left out.
pub fn references(text: &str) -> Vec<Reference> {
    let mut area = String::new();
    let mut found = Vec::new();
    for word in text.split([',', ';']).map(str::trim) {
        let is_area = !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase());
        if word == "all" {
            found.push(Reference::All);
        } else if is_number(word.strip_prefix('-').unwrap_or_default()) {
            found.push(Reference::Criteria(format!("{area}{word}")));
        } else if is_area || is_id(word) {
            word.split('-').next().unwrap_or(word).clone_into(&mut area);
            found.push(Reference::Criteria(word.to_owned()));
        }
    }
    found
}

/// Whether a text has the form of a criterion's id, `AREA-NUMBER`.
pub fn is_id(text: &str) -> bool {
    let is_area = |area: &str| !area.is_empty() && area.chars().all(|c| c.is_ascii_uppercase());
    text.split_once('-')
        .is_some_and(|(area, number)| is_area(area) && is_number(number))
}

fn is_number(text: &str) -> bool {
    u32::from_str(text).is_ok()
}

/// The cells of a row of a table; none for any other line. A bar behind a backslash is a part of its cell.
fn cells(line: &str) -> Vec<String> {
    const BAR: &str = "\u{0}";
    let line = line.replace("\\|", BAR);
    let row = line
        .strip_prefix("| ")
        .and_then(|rest| rest.trim_end().strip_suffix('|'));
    let cell = |cell: &str| cell.trim().replace(BAR, "|");
    row.map_or_else(Vec::new, |row| row.split('|').map(cell).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_belongs_to_the_area_before_it() {
        let named = |name: &str| Reference::Criteria(name.to_owned());
        assert_eq!(
            references("CONN-1, -3, RECON; -1, `touchstone mutants`, all"),
            [
                named("CONN-1"),
                named("CONN-3"),
                named("RECON"),
                named("RECON-1"),
                Reference::All
            ]
        );
        assert!(named("RECON").covers("RECON-12"));
        assert!(!named("RECON-1").covers("RECON-12"));
    }

    #[test]
    fn a_bar_behind_a_backslash_is_a_part_of_its_cell() {
        assert_eq!(cells("| a\\|b | c |  |"), ["a|b", "c", ""]);
        assert_eq!(cells("a | b"), Vec::<String>::new());
    }
}
