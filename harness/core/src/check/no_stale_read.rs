//! No read returns a value that an acknowledged update had replaced before the read began.

use super::Check;
use crate::history::{History, Outcome};
use crate::verdict::{Finding, Verdict};
use std::collections::HashMap;

/// What a client does with one entity. Every update of a history writes another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntityCall {
    /// Replaces the value.
    Update(String),
    /// Reads the value.
    Read,
}

/// The result of an [`EntityCall`]: the value read, or the value written.
pub type EntityHistory = History<EntityCall, String>;

/// Judges the history of one entity, for any concurrency, in O(n log n).
///
/// A read of value `v`, written by `W`, is stale if some acknowledged update `U` began after `W`
/// returned and returned before the read began: then `W`, `U`, read is the only possible order. An
/// indeterminate `W` may take effect at any time, so its value is never called stale; an
/// indeterminate `U` proves nothing.
#[derive(Debug, Clone)]
pub struct NoStaleRead {
    /// The value before the first operation of the history.
    pub initial: String,
}

/// When the writer of a value had certainly finished; `None` for an indeterminate one.
type WrittenBy<'a> = HashMap<&'a str, Option<u64>>;

impl Check for NoStaleRead {
    type Evidence = EntityHistory;

    fn check(&self, history: &EntityHistory) -> Verdict {
        let written = self.writers(history);
        let updates = acknowledged_updates(history);
        let mut acknowledged_reads = 0;
        for read in history.iter().filter(|op| op.input == EntityCall::Read) {
            let Outcome::Ok(value) = &read.outcome else {
                continue;
            };
            acknowledged_reads += 1;
            let Some(writer_returned) = written.get(value.as_str()) else {
                return Verdict::Fail(Finding::new(
                    "a value that was written",
                    format!("a read returned `{value}`, which nobody wrote"),
                ));
            };
            if let Some(update) = overwritten_by(&updates, read.called_us, *writer_returned) {
                return Verdict::Fail(stale(value, update, read.called_us));
            }
        }
        match (acknowledged_reads, updates.is_empty()) {
            (0, _) => Verdict::unknown("no read was answered"),
            (_, true) => Verdict::unknown("no update was acknowledged"),
            _ => Verdict::Pass,
        }
    }
}

impl NoStaleRead {
    fn writers<'a>(&'a self, history: &'a EntityHistory) -> WrittenBy<'a> {
        let mut written: WrittenBy<'a> = HashMap::from([(self.initial.as_str(), Some(0))]);
        for operation in history {
            if let EntityCall::Update(value) = &operation.input {
                let returned = match operation.outcome {
                    Outcome::Ok(_) => Some(operation.returned_us),
                    // A value that was refused for sure must never be seen; leave it unknown.
                    Outcome::Failed(_) => continue,
                    Outcome::Indeterminate(_) => None,
                };
                written.insert(value, returned);
            }
        }
        written
    }
}

/// One acknowledged update and the latest beginning among it and all that returned before it.
struct AcknowledgedUpdate {
    returned_us: u64,
    latest_call_us: u64,
    value: String,
}

fn acknowledged_updates(history: &EntityHistory) -> Vec<AcknowledgedUpdate> {
    let mut updates: Vec<(u64, u64, &str)> = history
        .iter()
        .filter_map(|op| match (&op.input, &op.outcome) {
            (EntityCall::Update(value), Outcome::Ok(_)) => {
                Some((op.returned_us, op.called_us, value.as_str()))
            }
            _ => None,
        })
        .collect();
    updates.sort_unstable();
    let mut latest: (u64, &str) = (0, "");
    updates
        .into_iter()
        .map(|(returned_us, called_us, value)| {
            if called_us >= latest.0 {
                latest = (called_us, value);
            }
            AcknowledgedUpdate {
                returned_us,
                latest_call_us: latest.0,
                value: latest.1.to_owned(),
            }
        })
        .collect()
}

/// An update that must have replaced a value written until `writer_returned` before the read began.
fn overwritten_by(
    updates: &[AcknowledgedUpdate],
    read_called_us: u64,
    writer_returned: Option<u64>,
) -> Option<&AcknowledgedUpdate> {
    let before_read = updates.partition_point(|update| update.returned_us < read_called_us);
    let last = updates[..before_read].last()?;
    (last.latest_call_us > writer_returned?).then_some(last)
}

fn stale(value: &str, update: &AcknowledgedUpdate, read_called_us: u64) -> Finding {
    Finding::new(
        format!(
            "`{}` or newer: that update was acknowledged by {} us, before the read began at {} us",
            update.value, update.returned_us, read_called_us
        ),
        format!("the older value `{value}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Operation;

    fn op(
        input: EntityCall,
        called_us: u64,
        returned_us: u64,
        value: &str,
    ) -> Operation<EntityCall, String> {
        Operation {
            client: 0,
            input,
            called_us,
            returned_us,
            outcome: Outcome::Ok(value.into()),
        }
    }
    fn update(value: &str, called_us: u64, returned_us: u64) -> Operation<EntityCall, String> {
        op(
            EntityCall::Update(value.into()),
            called_us,
            returned_us,
            value,
        )
    }
    fn read(value: &str, called_us: u64, returned_us: u64) -> Operation<EntityCall, String> {
        op(EntityCall::Read, called_us, returned_us, value)
    }
    fn judge(history: EntityHistory) -> Verdict {
        NoStaleRead {
            initial: "v0".into(),
        }
        .check(&history)
    }

    #[test]
    fn reads_of_the_newest_or_a_concurrent_value_pass() {
        let history = vec![
            read("v0", 1, 5),
            update("v1", 10, 20),
            read("v0", 12, 14), // concurrent with the update
            read("v1", 12, 15),
            read("v1", 30, 31),
        ];
        assert_eq!(judge(history), Verdict::Pass);
    }

    #[test]
    fn the_old_value_after_an_acknowledged_update_fails() {
        let history = vec![update("v1", 10, 20), read("v0", 21, 22)];
        assert!(matches!(judge(history), Verdict::Fail(_)));
    }

    #[test]
    fn an_older_concurrent_update_does_not_hide_a_stale_read() {
        // v2 began after v1 had returned; an overlapping v3 returned last. v1 is stale all the same.
        let history = vec![
            update("v1", 10, 20),
            update("v2", 30, 40),
            update("v3", 15, 45),
            read("v1", 50, 51),
        ];
        assert!(matches!(judge(history), Verdict::Fail(_)));
    }

    #[test]
    fn either_of_two_overlapping_updates_may_be_the_last() {
        for value in ["v1", "v2"] {
            let history = vec![
                update("v1", 10, 30),
                update("v2", 20, 40),
                read(value, 50, 51),
            ];
            assert_eq!(judge(history), Verdict::Pass, "{value}");
        }
    }

    #[test]
    fn an_indeterminate_update_may_take_effect_late() {
        let mut late = update("v1", 10, 20);
        late.outcome = Outcome::Indeterminate("timed out".into());
        let history = vec![late, update("v2", 30, 40), read("v1", 50, 51)];
        assert_eq!(judge(history), Verdict::Pass);
    }

    #[test]
    fn a_value_that_nobody_wrote_fails() {
        let history = vec![update("v1", 10, 20), read("v9", 30, 31)];
        assert!(matches!(judge(history), Verdict::Fail(_)));
    }

    #[test]
    fn a_history_without_reads_or_without_updates_is_unknown() {
        assert_eq!(judge(vec![update("v1", 10, 20)]).word(), "unknown");
        assert_eq!(judge(vec![read("v0", 10, 20)]).word(), "unknown");
    }
}
