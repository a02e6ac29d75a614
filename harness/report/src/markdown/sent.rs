//! What the subject sent, folded away: commands, findings, and the scenarios one by one.

use super::escape::inline;
use crate::{sent, view};
use touchstone_core::audit::StoreName;
use touchstone_core::record::AuditRecord;
use touchstone_core::{RunRecord, ScenarioRecord};

/// Names in the table; the record has all.
const COMMANDS_SHOWN: usize = 15;
/// Attempts in the table: a summary has a limit of size.
const SCENARIOS_SHOWN: usize = 200;

pub(super) fn section(record: &RunRecord) -> String {
    let Some(audit) = record
        .audit
        .as_ref()
        .filter(|audit| !audit.commands.is_empty())
    else {
        return String::new();
    };
    let to = |store| sent::number_to(audit, store);
    let mut section = format!(
        "\n<details>\n<summary>What the subject sent: {} commands to redis, {} to postgres</summary>\n\n",
        to(StoreName::Redis),
        to(StoreName::Postgres),
    );
    section += &commands(audit);
    let lines = [sent::findings(audit), sent::facts(audit)].concat();
    if !lines.is_empty() {
        let items = lines.iter().map(|line| format!("- {}\n", inline(line)));
        section += &format!("\n{}", items.collect::<String>());
    }
    section += &scenarios(record);
    section + "\n</details>\n"
}

fn commands(audit: &AuditRecord) -> String {
    let mut table =
        "| Command | Count | Errors | Bytes sent, received | Slowest reply |\n|---|---:|---:|---:|---:|\n"
            .to_owned();
    let all = sent::most_sent(audit, |_| true);
    for count in all.iter().take(COMMANDS_SHOWN) {
        let slowest = count.slowest_us.map_or("-".to_owned(), sent::micros);
        table += &format!(
            "| {} | {} | {} | {}, {} | {slowest} |\n",
            inline(&format!("{} {}", count.store, count.name)),
            count.count,
            count.errors,
            sent::size(count.sent_bytes),
            sent::size(count.received_bytes),
        );
    }
    let more = all.len().saturating_sub(COMMANDS_SHOWN);
    if more > 0 {
        table += &format!("\n*{more} more names in record.json.*\n");
    }
    table
}

fn scenarios(record: &RunRecord) -> String {
    let audited: Vec<(&ScenarioRecord, &AuditRecord)> = record
        .scenarios
        .iter()
        .filter_map(|scenario| Some((scenario, scenario.audit.as_ref()?)))
        .collect();
    if audited.is_empty() {
        return String::new();
    }
    let mut table =
        "\n| Scenario | To redis | To postgres | Most in one request | Found |\n|---|---:|---:|---:|---|\n"
            .to_owned();
    for (scenario, audit) in audited.iter().take(SCENARIOS_SHOWN) {
        let most = audit.per_request.iter().map(|requests| requests.most).max();
        let findings = sent::findings(audit);
        let found = match findings.split_first() {
            None => String::new(),
            Some((first, [])) => inline(first),
            Some((first, more)) => format!("{}; {} more", inline(first), more.len()),
        };
        table += &format!(
            "| {} | {} | {} | {} | {found} |\n",
            inline(&view::key(scenario)),
            sent::number_to(audit, StoreName::Redis),
            sent::number_to(audit, StoreName::Postgres),
            most.map_or("-".to_owned(), |most| most.to_string()),
        );
    }
    let more = audited.len().saturating_sub(SCENARIOS_SHOWN);
    if more > 0 {
        table += &format!("\n*{more} more scenarios in record.json.*\n");
    }
    table
}
