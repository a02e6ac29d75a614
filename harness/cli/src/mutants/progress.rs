//! Progress on standard error, so that standard output is the table alone.

use super::Fate;
use super::select::Mutant;
use crate::output::complain;
use std::collections::BTreeMap;
use std::io;
use touchstone_core::event::ScenarioKey;
use touchstone_core::{EventSink, RunEvent, RunEventKind};

/// Tells of each mutant when its scenario is over.
#[derive(Debug)]
pub(super) struct Progress {
    names: BTreeMap<ScenarioKey, String>,
    done: usize,
}

impl Progress {
    /// For these mutants, in the order of the plan.
    pub(super) fn new(mutants: &[Mutant]) -> Self {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        let names = mutants.iter().map(|mutant| {
            let criterion = mutant.scenario.criterion.id;
            let attempt = counts.entry(criterion).or_default();
            *attempt += 1;
            let key = ScenarioKey {
                criterion: criterion.to_owned(),
                attempt: *attempt,
            };
            (key, mutant.name.clone())
        });
        Self {
            names: names.collect(),
            done: 0,
        }
    }
}

impl EventSink for Progress {
    fn on_event(&mut self, event: &RunEvent) -> io::Result<()> {
        match &event.kind {
            RunEventKind::RunStarted {
                provider, planned, ..
            } => complain(&format!("{planned} mutants on {provider}")),
            RunEventKind::Interrupted { signal } => {
                complain(&format!(
                    "{signal}: tearing down what runs; nothing new starts"
                ));
            }
            RunEventKind::ScenarioFinished { record } => {
                self.done += 1;
                let key = ScenarioKey {
                    criterion: record.criterion.clone(),
                    attempt: record.attempt,
                };
                let name = self.names.get(&key).map_or("?", String::as_str);
                let total = self.names.len();
                let word = Fate::of(record).word();
                let seconds = record.duration_ms as f64 / 1000.0;
                complain(&format!(
                    "[{}/{total}] {word} {name} by {} in {seconds:.1} s",
                    self.done, record.criterion
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
