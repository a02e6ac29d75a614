//! `faults.jsonl`: what was planned of each fault, one a line. Nothing in it depends on time or luck: runs with one
//! seed, of which no scenario ended earlier than in the other, leave the same bytes. What was observed of a line's
//! fault stands in `record.json`, in `faults[order]` of its criterion's attempt.

use std::io;
use touchstone_core::RunRecord;

/// The plan of the record's faults, by criterion, attempt and order.
pub fn render(record: &RunRecord) -> io::Result<String> {
    let mut lines = String::new();
    for planned in record.planned_faults() {
        lines += &serde_json::to_string(&planned)?;
        lines.push('\n');
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    /// The same run on another day: everything that depends on time or luck is different.
    fn on_another_day() -> RunRecord {
        let mut record = sample::record();
        record.run_id = "20270101-000000-abcdef".to_owned();
        record.wall_ms += 1_000;
        record.jobs = 1;
        record.scenarios.reverse();
        for scenario in &mut record.scenarios {
            scenario.duration_ms += 7;
            for fault in &mut scenario.faults {
                fault.injected_at_us += 1_234;
                fault.healed_at_us = None;
                fault.bite = Some("something else".to_owned());
            }
        }
        record
    }

    #[test]
    fn one_seed_gives_the_same_bytes_on_any_day() {
        let lines = render(&sample::record()).unwrap();
        assert_eq!(lines, render(&on_another_day()).unwrap());
        assert!(lines.lines().count() > 2);
        assert!(lines.lines().is_sorted());
    }

    #[test]
    fn each_line_leads_to_what_was_observed() {
        let record = sample::record();
        for line in render(&record).unwrap().lines() {
            let planned: touchstone_core::fault::PlannedFault = serde_json::from_str(line).unwrap();
            let found = record.scenarios.iter().find(|scenario| {
                (&scenario.criterion, scenario.attempt) == (&planned.criterion, planned.attempt)
            });
            let observed = &found.unwrap().faults[planned.order];
            assert_eq!(observed.name, planned.name);
            assert_eq!(found.unwrap().seed.to_string(), planned.seed);
        }
    }
}
