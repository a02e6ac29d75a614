//! The record of a run that is still going on, so that a killed run leaves what it knew.

use serde_json::Value;
use std::collections::BTreeMap;
use touchstone_core::event::{RunEvent, RunEventKind};
use touchstone_core::record::{
    BoundRecord, MachineRecord, ProviderRecord, RunRecord, SCHEMA_VERSION, ScenarioRecord,
    SubjectRecord,
};

/// What stands where only the complete record knows more.
const NOT_RECORDED: &str = "not recorded";

const DID_NOT_END: &str =
    "the run did not end: this is what was known after its last finished scenario";

/// A growing record. Each scenario is serialised once, however many follow it: writing the whole
/// then costs a copy, also in a run of hundreds of repeats.
#[derive(Debug)]
pub(crate) struct PartialRecord {
    /// The record without its scenarios and without the closing brace.
    head: String,
    /// The scenarios so far, comma-separated.
    scenarios: String,
}

impl PartialRecord {
    /// Begins a record with what the first event of a run tells; `None` for any other event.
    ///
    /// It is marked as interrupted: judged as it stands, it must never pass a gate.
    pub(crate) fn begin(event: &RunEvent) -> Option<serde_json::Result<Self>> {
        let RunEventKind::RunStarted {
            run_id,
            seed,
            profile,
            subject,
            provider,
            jobs,
            ..
        } = &event.kind
        else {
            return None;
        };
        let kind = provider.split([' ', ':', ',']).next().unwrap_or_default();
        Some(Self::with_head(&RunRecord {
            schema_version: SCHEMA_VERSION,
            run_id: run_id.clone(),
            started_at: event.at,
            wall_ms: 0,
            seed: *seed,
            profile: *profile,
            jobs: *jobs,
            provider: ProviderRecord {
                kind: kind.to_owned(),
                reason: provider.clone(),
            },
            subject: SubjectRecord {
                name: subject.clone(),
                manifest: NOT_RECORDED.to_owned(),
                extra_environment: BTreeMap::new(),
            },
            versions: BTreeMap::new(),
            machine: unknown_machine(),
            scenarios: Vec::new(),
            warnings: vec![DID_NOT_END.to_owned()],
            interrupted: true,
            audit: None,
            bound: BoundRecord::default(),
        }))
    }

    fn with_head(record: &RunRecord) -> serde_json::Result<Self> {
        let mut head = serde_json::to_value(record)?;
        if let Value::Object(fields) = &mut head {
            fields.remove("scenarios");
            // Known only when it is rendered.
            fields.remove("wall_ms");
        }
        let mut head = serde_json::to_string_pretty(&head)?;
        head.truncate(head.trim_end_matches(['}', '\n']).len());
        Ok(Self {
            head,
            scenarios: String::new(),
        })
    }

    /// Adds a finished scenario.
    pub(crate) fn push(&mut self, scenario: &ScenarioRecord) -> serde_json::Result<()> {
        let separator = if self.scenarios.is_empty() { "" } else { "," };
        let scenario = serde_json::to_string(scenario)?;
        self.scenarios += &format!("{separator}\n    {scenario}");
        Ok(())
    }

    /// The record so far, in the format of `record.json`.
    pub(crate) fn render(&self, wall_ms: u64) -> String {
        format!(
            "{},\n  \"wall_ms\": {wall_ms},\n  \"scenarios\": [{}\n  ]\n}}\n",
            self.head, self.scenarios
        )
    }
}

fn unknown_machine() -> MachineRecord {
    MachineRecord {
        system: NOT_RECORDED.to_owned(),
        processor: NOT_RECORDED.to_owned(),
        cores: 0,
        memory_mib: 0,
    }
}
