//! `record.json`: the run record itself, complete, versioned, and the source of every other format.

use crate::atomic;
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use touchstone_core::RunRecord;
use touchstone_core::record::SCHEMA_VERSION;

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadRecordError {
    /// The file is missing or not readable: check the path.
    #[error("cannot read the record {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A newer touchstone wrote it: read it with that one.
    #[error(
        "the record has schema version {found}, and this touchstone reads up to {SCHEMA_VERSION}: \
         read it with the touchstone that wrote it, or a newer one"
    )]
    NewerSchema {
        /// The version in the file.
        found: u64,
    },
    /// It is JSON of something else: give the path of a `record.json`.
    #[error("this JSON is no run record: it has no number `schema_version`")]
    NotARecord,
    /// It was damaged, or edited by hand.
    #[error("the record is damaged")]
    Damaged {
        /// Where and how.
        source: serde_json::Error,
    },
}

/// The record as the file holds it: indented, with a newline at the end.
pub fn render(record: &RunRecord) -> io::Result<String> {
    let mut text = serde_json::to_string_pretty(record)?;
    text.push('\n');
    Ok(text)
}

/// Writes a record in one step: a reader sees the old file or the new one.
pub fn write(path: &Path, record: &RunRecord) -> io::Result<()> {
    atomic::write(path, render(record)?.as_bytes())
}

/// Reads a record back.
pub fn read(path: &Path) -> Result<RunRecord, ReadRecordError> {
    let text = fs::read_to_string(path).map_err(|source| ReadRecordError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(&text)
}

/// Reads a record back from its text.
///
/// The version is looked at before anything else, so that a newer record is named as such and not
/// as a damaged one.
pub fn parse(text: &str) -> Result<RunRecord, ReadRecordError> {
    let damaged = |source| ReadRecordError::Damaged { source };
    let value: Value = serde_json::from_str(text).map_err(damaged)?;
    match value.get("schema_version").and_then(Value::as_u64) {
        None => return Err(ReadRecordError::NotARecord),
        Some(found) if found > u64::from(SCHEMA_VERSION) => {
            return Err(ReadRecordError::NewerSchema { found });
        }
        Some(_) => {}
    }
    // From the text once more: only then does an error name its line and column.
    serde_json::from_str(text).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use std::error::Error;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        for record in [sample::record(), sample::hostile()] {
            write(&path, &record).unwrap();
            assert_eq!(read(&path).unwrap(), record);
        }
    }

    #[test]
    fn a_newer_record_is_refused_and_not_called_damaged() {
        let text = r#"{"schema_version": 99, "scenarios": "of another shape"}"#;
        let error = parse(text).unwrap_err();
        assert!(matches!(error, ReadRecordError::NewerSchema { found: 99 }));
        assert!(error.to_string().contains("99"), "{error}");
    }

    #[test]
    fn what_is_no_record_is_told_apart_from_a_damaged_one() {
        let missing = read(Path::new("no/such/record.json")).unwrap_err();
        assert!(
            matches!(missing, ReadRecordError::Unreadable { .. }),
            "{missing}"
        );
        assert!(matches!(parse("{}"), Err(ReadRecordError::NotARecord)));

        let text = render(&sample::record()).unwrap();
        let damaged = parse(&text.replace("\"jobs\": 4", "\"jobs\": \"four\"")).unwrap_err();
        let cause = damaged.source().expect("a cause").to_string();
        assert!(cause.contains("line"), "{cause}");
        assert!(matches!(
            parse(&text[..text.len() / 2]),
            Err(ReadRecordError::Damaged { .. })
        ));
    }
}
