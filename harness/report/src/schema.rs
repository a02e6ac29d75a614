//! The JSON schema of `record.json`, as its types have it. `docs/record.schema.json` is a copy for readers.

use std::io;
use touchstone_core::RunRecord;

/// The schema, indented, with a newline at the end. JSON Schema, draft 2020-12.
pub fn render() -> io::Result<String> {
    let schema = schemars::schema_for!(RunRecord);
    let mut text = serde_json::to_string_pretty(&schema)?;
    text.push('\n');
    Ok(text)
}
