//! What is wrong with a manifest, and where: file, line, key, and what was expected.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A manifest that cannot be used.
#[derive(Debug)]
pub enum ManifestError {
    /// The file cannot be read.
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    Content {
        /// Which file.
        path: PathBuf,
        /// Line, from 1; 0 if the fault has no place.
        line: usize,
        /// The key, dotted; empty when the file is no TOML.
        key: String,
        /// What is wrong and what was expected.
        problem: String,
    },
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ManifestError::Read { path, .. } => {
                write!(f, "cannot read the subject manifest {}", path.display())
            }
            ManifestError::Content {
                path,
                line,
                key,
                problem,
            } => {
                write!(f, "{}:{line}: ", path.display())?;
                if !key.is_empty() {
                    write!(f, "`{key}`: ")?;
                }
                f.write_str(problem)
            }
        }
    }
}

impl std::error::Error for ManifestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ManifestError::Read { source, .. } => Some(source),
            ManifestError::Content { .. } => None,
        }
    }
}

/// The text of a manifest, to find places in.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// An error at a key that was found wrong after parsing.
    pub(super) fn error_at(&self, key: &str, problem: impl Into<String>) -> ManifestError {
        let line = self.span_of(key).map_or(0, |span| self.line_of(span.start));
        self.content(line, key, problem)
    }

    /// An error of the parser, which knows the place but not the key.
    pub(super) fn parse_error(&self, error: &toml::de::Error) -> ManifestError {
        let offset = error.span().map(|span| span.start);
        let document = toml::de::DeTable::parse(self.text).ok();
        let key = document
            .zip(offset)
            .and_then(|(document, offset)| key_at(document.get_ref(), offset))
            .unwrap_or_default();
        self.content(
            offset.map_or(0, |offset| self.line_of(offset)),
            &key,
            error.message(),
        )
    }

    fn content(&self, line: usize, key: &str, problem: impl Into<String>) -> ManifestError {
        ManifestError::Content {
            path: self.path.to_owned(),
            line,
            key: key.to_owned(),
            problem: problem.into(),
        }
    }

    fn line_of(&self, offset: usize) -> usize {
        self.text[..offset.min(self.text.len())]
            .matches('\n')
            .count()
            + 1
    }

    /// Where the longest known prefix of a dotted key stands.
    fn span_of(&self, key: &str) -> Option<Range<usize>> {
        let document = toml::de::DeTable::parse(self.text).ok()?;
        let mut table = document.get_ref();
        let mut found = None;
        for part in key.split('.') {
            let Some((name, value)) = table.get_key_value(part) else {
                break;
            };
            found = Some(name.span());
            let toml::de::DeValue::Table(inner) = value.get_ref() else {
                break;
            };
            table = inner;
        }
        found
    }
}

/// The dotted key whose name or value stands at this offset of the text.
fn key_at(table: &toml::de::DeTable<'_>, offset: usize) -> Option<String> {
    table.iter().find_map(|(name, value)| {
        let inner = match value.get_ref() {
            toml::de::DeValue::Table(inner) => key_at(inner, offset),
            toml::de::DeValue::Array(items) => items.iter().find_map(|item| match item.get_ref() {
                toml::de::DeValue::Table(inner) => key_at(inner, offset),
                _ => None,
            }),
            _ => None,
        };
        let here = || name.span().contains(&offset) || value.span().contains(&offset);
        match inner {
            Some(inner) => Some(format!("{}.{inner}", name.get_ref())),
            None => here().then(|| name.get_ref().to_string()),
        }
    })
}
