//! Text with placeholders: `{name}`. A doubled brace is a literal one.

use serde::{Deserialize, Deserializer, de};
use std::fmt;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(String),
}

impl Template {
    /// Parses; the error says what is wrong with the braces.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                '{' | '}' if rest.peek() == Some(&next) => {
                    rest.next();
                    plain.push(next);
                }
                '{' => {
                    let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                    if name.is_empty() || !text.contains(&format!("{{{name}}}")) {
                        return Err(format!(
                            "`{text}` has a `{{` without a name and a `}}`; write `{{{{` for a brace"
                        ));
                    }
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                    parts.push(Part::Placeholder(name));
                }
                '}' => {
                    return Err(format!(
                        "`{text}` has a `}}` without `{{`; write `}}}}` for a brace"
                    ));
                }
                other => plain.push(other),
            }
        }
        parts.push(Part::Text(plain));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self { parts })
    }

    /// The names of its placeholders, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text with each placeholder replaced; one that `value` does not know stays as it stands.
    pub fn fill(&self, mut value: impl FnMut(&str) -> Option<String>) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Placeholder(name) => value(name).unwrap_or_else(|| format!("{{{name}}}")),
        };
        self.parts.iter().map(part).collect()
    }

    /// Whether it is nothing but this placeholder: then bytes that are no text can stand in its place.
    pub fn is_only(&self, name: &str) -> bool {
        self.parts == [Part::Placeholder(name.to_owned())]
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Placeholder(name) => write!(f, "{{{name}}}"),
        })
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Template::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_doubled_braces_are_literal() {
        let template = Template::parse("{{x}} {a}-{b.c}").expect("a template");
        assert_eq!(template.placeholders().collect::<Vec<_>>(), ["a", "b.c"]);
        assert_eq!(
            template.fill(|name| (name == "a").then(|| "1".into())),
            "{x} 1-{b.c}"
        );
    }

    #[test]
    fn a_lone_brace_is_an_error() {
        for text in ["{", "a{b", "a}", "{}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
